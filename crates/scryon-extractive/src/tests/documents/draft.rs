use super::super::fixtures::{draft_support_call, recorded};
use crate::analyse;

#[test]
fn the_whole_document() {
    let document = serde_json::to_string_pretty(&analyse(&draft_support_call(), &recorded()))
        .expect("a writable document");
    insta::assert_snapshot!(document, @r#"
    {
      "schemaVersion": 3,
      "callType": "support",
      "suggestedTitle": "Support call: router and replacement",
      "oneLineSummary": "Support call about router, replacement and warranty, with 3 action items.",
      "executiveSummary": "Support call of about a minute about router, replacement and warranty, 190 words long. The statement closest to its topics: “high maria my router keeps dropping the collection every evening and it's really frustrating”. Found in it: 1 decision and 3 action items.",
      "executiveSummaryBullets": [
        {
          "header": "Router",
          "startTimestamp": "00:00",
          "paragraphs": [
            "“it start it about two weeks a go i already restarted the rotor three times and nothing helped” “i understand you're router still has the old firm where so we”"
          ]
        },
        {
          "header": "Replacement and router",
          "startTimestamp": "00:34",
          "paragraphs": [
            "“i'll send you the replacement router by friday”"
          ]
        },
        {
          "header": "Closing",
          "startTimestamp": "00:54",
          "paragraphs": [
            "“could you please email me the confirmation at tom dot baker at example dot com” “one more think can you call me back next tuesday at three p m to check weather it works it's urgent because i walk from home” “thank you for your patients tom good buy”"
          ]
        }
      ],
      "conversationOutcome": "Decided: “we agreed to skip the set of fee has well”",
      "sections": [
        {
          "id": "sec_001",
          "title": "Figures",
          "type": "figures",
          "items": [
            {
              "text": "“yes it is the knew router normal lee costs eighty nine dollars but for you it's three”",
              "importance": "high",
              "speaker": "Speaker 1",
              "sourceSegmentIds": [
                "seg_0007"
              ]
            }
          ]
        },
        {
          "id": "sec_002",
          "title": "Questions",
          "type": "question",
          "items": [
            {
              "text": "“is the replacement cover it by the warranty”",
              "importance": "low",
              "speaker": "Speaker 2",
              "sourceSegmentIds": [
                "seg_0006"
              ]
            }
          ]
        }
      ],
      "keyDiscussionPoints": [],
      "actionItems": [
        {
          "title": "Send the replacement router",
          "description": "“i'll send you the replacement router by friday”",
          "ownerSpeaker": "Speaker 1",
          "ownerSpeakerId": "spk_1",
          "ownerSpeakerLabel": "Speaker 1",
          "ownerDisplayName": null,
          "ownerRole": "USER",
          "dueDate": "2026-05-22",
          "priority": "medium",
          "sourceSegmentIds": [
            "seg_0008"
          ],
          "intent": "task"
        },
        {
          "title": "Email the confirmation",
          "description": "“could you please email me the confirmation at tom dot baker at example dot com”",
          "ownerSpeaker": "Speaker 1",
          "ownerSpeakerId": "spk_1",
          "ownerSpeakerLabel": "Speaker 1",
          "ownerDisplayName": null,
          "ownerRole": "USER",
          "dueDate": "2026-05-20",
          "priority": "medium",
          "sourceSegmentIds": [
            "seg_0009",
            "seg_0010"
          ],
          "intent": "email",
          "intentMetadata": {
            "toEmail": "tom.baker@example.com",
            "subject": "The confirmation"
          }
        },
        {
          "title": "Call back to check weather it works",
          "description": "“one more think can you call me back next tuesday at three p m to check weather it works it's urgent because i walk from home”",
          "ownerSpeaker": "Speaker 1",
          "ownerSpeakerId": "spk_1",
          "ownerSpeakerLabel": "Speaker 1",
          "ownerDisplayName": null,
          "ownerRole": "USER",
          "dueDate": "2026-05-26",
          "priority": "high",
          "sourceSegmentIds": [
            "seg_0011",
            "seg_0012"
          ],
          "intent": "call"
        }
      ],
      "followUps": [],
      "nextSteps": [],
      "importantDates": [
        {
          "text": "friday",
          "date": "2026-05-22",
          "context": "“i'll send you the replacement router by friday”",
          "sourceSegmentIds": [
            "seg_0008"
          ]
        },
        {
          "text": "today",
          "date": "2026-05-20",
          "context": "“of coarse i'll email you the conversation today”",
          "sourceSegmentIds": [
            "seg_0010"
          ]
        },
        {
          "text": "next tuesday",
          "date": "2026-05-26",
          "context": "“one more think can you call me back next tuesday at three p m to check weather it works it's urgent because i walk from home”",
          "sourceSegmentIds": [
            "seg_0011",
            "seg_0012"
          ]
        }
      ],
      "decisions": [
        {
          "text": "“we agreed to skip the set of fee has well”",
          "speakerId": "spk_1",
          "importance": "medium",
          "sourceSegmentIds": [
            "seg_0008"
          ]
        }
      ],
      "commitments": [
        {
          "text": "“i'll send you the replacement router by friday”",
          "speakerId": "spk_1",
          "sourceSegmentIds": [
            "seg_0008"
          ]
        },
        {
          "text": "“of coarse i'll email you the conversation today”",
          "speakerId": "spk_1",
          "sourceSegmentIds": [
            "seg_0010"
          ]
        },
        {
          "text": "“sure i will call you next tuesday at three p m”",
          "speakerId": "spk_1",
          "sourceSegmentIds": [
            "seg_0012"
          ]
        }
      ],
      "openQuestions": [],
      "risks": [
        {
          "text": "“high maria my router keeps dropping the collection every evening and it's really frustrating”",
          "speakerId": "spk_2",
          "importance": "medium",
          "sourceSegmentIds": [
            "seg_0002"
          ]
        }
      ],
      "opportunities": [],
      "peopleMentioned": [
        {
          "name": "Maria",
          "context": "“good morning this is maria from north wind support”",
          "sourceSegmentIds": [
            "seg_0001",
            "seg_0002"
          ]
        },
        {
          "name": "Lee",
          "context": "“yes it is the knew router normal lee costs eighty nine dollars but for you it's three”",
          "sourceSegmentIds": [
            "seg_0007"
          ]
        },
        {
          "name": "Tom",
          "context": "“thank you for your patients tom good buy”",
          "sourceSegmentIds": [
            "seg_0012"
          ]
        }
      ],
      "numbersAndAmounts": [
        {
          "text": "two weeks",
          "kind": "number",
          "value": 2.0,
          "unit": "weeks",
          "context": "“it start it about two weeks a go i already restarted the rotor three times and nothing helped”",
          "sourceSegmentIds": [
            "seg_0004"
          ]
        },
        {
          "text": "eighty nine dollars",
          "kind": "money",
          "value": 89.0,
          "unit": "USD",
          "context": "“yes it is the knew router normal lee costs eighty nine dollars but for you it's three”",
          "sourceSegmentIds": [
            "seg_0007"
          ]
        }
      ],
      "sentiment": {
        "overall": "neutral",
        "score": 0.06,
        "reason": "Counted by word lexicon: 2 positive statements and 1 negative statement.",
        "userSentiment": {
          "overall": "positive",
          "score": 0.18,
          "notes": "Counted by word lexicon: 1 positive statement and no negative statement."
        },
        "contactSentiment": {
          "overall": "neutral",
          "score": -0.12,
          "notes": "Counted by word lexicon: 1 positive statement and 1 negative statement."
        },
        "progression": [
          {
            "phase": "opening",
            "overall": "negative",
            "note": "Strongest words: “high maria my router keeps dropping the collection every evening and it's really frustrating”",
            "sourceSegmentIds": [
              "seg_0002"
            ]
          },
          {
            "phase": "middle",
            "overall": "neutral",
            "note": "No words of strong feeling.",
            "sourceSegmentIds": [
              "seg_0011"
            ]
          },
          {
            "phase": "closing",
            "overall": "positive",
            "note": "Strongest words: “thank you for your patients tom good buy”",
            "sourceSegmentIds": [
              "seg_0012"
            ]
          }
        ],
        "emotionalSignals": [
          "frustrated",
          "appreciative"
        ]
      },
      "tone": {
        "overall": "supportive",
        "descriptors": [
          "helpful",
          "pressing",
          "polite"
        ],
        "formality": "formal",
        "energy": "medium",
        "pace": "normal",
        "notes": "Measured: 150 words per minute of speech; per hundred words 1.1 formal, 0.0 informal and 2.1 emphatic expressions.",
        "byParty": {
          "userTone": {
            "overall": "supportive",
            "descriptors": [
              "helpful",
              "warm",
              "polite"
            ],
            "notes": "Measured: 150 words per minute of speech; per hundred words 1.0 formal, 0.0 informal and 0.0 emphatic expressions."
          },
          "contactTone": {
            "overall": "formal-business",
            "descriptors": [
              "pressing",
              "polite",
              "inquiring"
            ],
            "notes": "Measured: 150 words per minute of speech; per hundred words 1.2 formal, 0.0 informal and 4.7 emphatic expressions."
          }
        }
      },
      "tags": [
        "support",
        "router",
        "replacement",
        "warranty"
      ],
      "qualityWarnings": [
        "extractive_engine",
        "draft_quality_transcript"
      ]
    }
    "#);
}
