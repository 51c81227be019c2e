"""The published clients of OpenAI, pyannoteAI, Deepgram and AssemblyAI against the simulator."""

import io
import json
import os
import sys
import tempfile
import unittest
import urllib.request
import wave

import assemblyai
import httpx
import openai
from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from pyannoteai.sdk import Client as PyannoteClient
from pyannoteai.sdk.client import PyannoteAIFailedJob

SIMULATOR = os.environ["SIMULATOR"]


def recording(number):
    """A WAV that no other test has."""
    out = io.BytesIO()
    with wave.open(out, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(8000)
        wav.writeframes(bytes([number]) * 16000)
    return out.getvalue()


def control(path, body=None, method="POST"):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(SIMULATOR + path, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def order(route, fault, **more):
    control("/control/faults", {"route": route, "fault": fault, **more})


def bought(route):
    return sum(line["count"] for line in control("/ledger", method="GET") if line["route"] == route)


class OpenAi(unittest.TestCase):
    def client(self, key="k"):
        return openai.OpenAI(api_key=key, base_url=SIMULATOR + "/openai/v1", max_retries=0)

    def test_a_recording_is_transcribed_with_words_and_segments(self):
        heard = self.client().audio.transcriptions.create(
            file=("call.wav", recording(1)),
            model="whisper-1",
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )
        self.assertEqual(heard.language, "english")
        self.assertGreater(len(heard.words), len(heard.segments))
        self.assertTrue(heard.text.startswith(heard.words[0].word))
        self.assertLessEqual(heard.segments[0].end, heard.segments[1].start)

    def test_speakers_are_told_apart(self):
        heard = self.client().audio.transcriptions.create(
            file=("call.wav", recording(2)),
            model="gpt-4o-transcribe-diarize",
            response_format="diarized_json",
            chunking_strategy="auto",
        )
        self.assertEqual({segment.speaker for segment in heard.segments}, {"A", "B"})

    def test_a_chat_keeps_to_its_schema(self):
        schema = {
            "type": "object",
            "properties": {"summary": {"type": "string"}, "actions": {"type": "array", "items": {"type": "string"}}},
            "required": ["summary", "actions"],
            "additionalProperties": False,
        }
        answer = self.client().chat.completions.create(
            model="gpt-6-luna",
            messages=[{"role": "user", "content": "seg_0001 hello"}],
            response_format={"type": "json_schema", "json_schema": {"name": "call", "strict": True, "schema": schema}},
        )
        content = json.loads(answer.choices[0].message.content)
        self.assertEqual(sorted(content), ["actions", "summary"])
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertGreater(answer.usage.total_tokens, 0)

    def test_embeddings_have_their_size(self):
        answer = self.client().embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=64)
        self.assertEqual([len(one.embedding) for one in answer.data], [64, 64])

    def test_refusals_are_the_clients_own_errors(self):
        with self.assertRaises(openai.AuthenticationError):
            self.client("bad").models.list()
        say = lambda client: client.chat.completions.create(model="m", messages=[{"role": "user", "content": "a"}])
        with self.assertRaises(openai.RateLimitError) as unpaid:
            say(self.client("unpaid"))
        self.assertEqual(unpaid.exception.code, "insufficient_quota")
        order("openai.chat", "status", status=503, retryAfter=1)
        with self.assertRaises(openai.InternalServerError):
            say(self.client())
        with self.assertRaises(openai.BadRequestError):
            self.client().chat.completions.create(model="m", messages=[])

    def test_the_client_tries_again_by_itself(self):
        order("openai.chat", "status", status=429, retryAfter=0)
        client = openai.OpenAI(api_key="k", base_url=SIMULATOR + "/openai/v1", max_retries=1)
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "again"}])
        self.assertTrue(answer.choices[0].message.content)


class Pyannote(unittest.TestCase):
    def client(self, key="k"):
        # It asks whether the key is right as soon as it is made.
        PyannoteClient.API_URL = SIMULATOR + "/pyannote/v1"
        return PyannoteClient(key)

    def uploaded(self, client, number):
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(recording(number))
            file.flush()
            return client.upload(file.name)

    def retrieved(self, client, job):
        return client.retrieve(job, every_seconds=0.05)

    def test_an_upload_is_diarized_and_polled_for(self):
        client = self.client()
        before = bought("pyannote.diarize")
        job = client.diarize(self.uploaded(client, 3), num_speakers=2, exclusive=True)
        output = self.retrieved(client, job)["output"]
        self.assertEqual({turn["speaker"] for turn in output["diarization"]}, {"SPEAKER_00", "SPEAKER_01"})
        self.assertTrue(output["exclusiveDiarization"])
        self.assertEqual(bought("pyannote.diarize"), before + 1)

    def test_a_job_that_fails_is_told(self):
        client = self.client()
        media = self.uploaded(client, 4)
        order("pyannote.diarize", "job_failed")
        with self.assertRaises(PyannoteAIFailedJob):
            self.retrieved(client, client.diarize(media))

    def test_a_wrong_key_is_refused(self):
        with self.assertRaises(Exception) as refused:
            self.client("bad").diarize("https://example.org/a.wav")
        self.assertIn("authenticate", str(refused.exception))


class Deepgram(unittest.TestCase):
    def client(self, key="k"):
        places = dict.fromkeys(["production", "agent", "agent_rest"], SIMULATOR + "/deepgram")
        return DeepgramClient(
            api_key=key,
            environment=DeepgramClientEnvironment(base=SIMULATOR + "/deepgram", **places),
            httpx_client=httpx.Client(timeout=30),
        )

    def test_a_recording_is_transcribed_with_integer_speakers(self):
        answer = self.client().listen.v1.media.transcribe_file(
            request=recording(5), model="nova-3", smart_format=True, utterances=True, diarize=True
        )
        words = answer.results.channels[0].alternatives[0].words
        self.assertEqual({word.speaker for word in words}, {0, 1})
        self.assertTrue(answer.results.utterances)

    def test_two_channels_are_heard(self):
        answer = self.client().listen.v1.media.transcribe_file(request=recording(6), model="nova-3", multichannel=True)
        self.assertEqual(len(answer.results.channels), 2)

    def test_a_wrong_key_is_refused(self):
        with self.assertRaises(ApiError) as refused:
            self.client("bad").listen.v1.media.transcribe_file(request=recording(7), model="nova-3")
        self.assertEqual(refused.exception.status_code, 401)


class AssemblyAi(unittest.TestCase):
    def setUp(self):
        assemblyai.settings.base_url = SIMULATOR + "/assemblyai"
        assemblyai.settings.api_key = "k"
        assemblyai.settings.polling_interval = 0.05

    def transcribed(self, number):
        config = assemblyai.TranscriptionConfig(speaker_labels=True)
        return assemblyai.Transcriber(config=config).transcribe(io.BytesIO(recording(number)))

    def test_an_upload_is_transcribed_and_polled_for(self):
        transcript = self.transcribed(8)
        self.assertEqual(transcript.status, assemblyai.TranscriptStatus.completed)
        self.assertEqual({utterance.speaker for utterance in transcript.utterances}, {"A", "B"})
        self.assertEqual(transcript.utterances[0].start, 0)

    def test_a_job_that_fails_says_why(self):
        order("assemblyai.submit", "job_failed")
        transcript = self.transcribed(9)
        self.assertEqual(transcript.status, assemblyai.TranscriptStatus.error)
        self.assertTrue(transcript.error)


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1, warnings="ignore").result
    failed = len(result.failures) + len(result.errors)
    # As cargo prints it, so that one count serves all tests.
    word = "ok" if failed == 0 else "FAILED"
    print(f"test result: {word}. {result.testsRun - failed} passed; {failed} failed; 0 ignored;")
    sys.exit(failed > 0)
