use super::outline;
use crate::tests::fixtures::{draft_support_call, recorded};

#[test]
fn the_whole_document() {
    let document = outline(&crate::analyse(&draft_support_call(), &recorded()));
    insta::assert_snapshot!(document, @r#"
    actionItems:
    - {"description":"“i'll send you the replacement router by friday”","dueDate":"2026-05-22","intent":"task","ownerDisplayName":null,"ownerRole":"USER","ownerSpeaker":"Speaker 1","ownerSpeakerId":"spk_1","ownerSpeakerLabel":"Speaker 1","priority":"medium","sourceSegmentIds":["seg_0008"],"title":"Send the replacement router"}
    - {"description":"“could you please email me the confirmation at tom dot baker at example dot com”","dueDate":"2026-05-20","intent":"email","intentMetadata":{"subject":"The confirmation","toEmail":"tom.baker@example.com"},"ownerDisplayName":null,"ownerRole":"USER","ownerSpeaker":"Speaker 1","ownerSpeakerId":"spk_1","ownerSpeakerLabel":"Speaker 1","priority":"medium","sourceSegmentIds":["seg_0009","seg_0010"],"title":"Email the confirmation"}
    - {"description":"“one more think can you call me back next tuesday at three p m to check weather it works it's urgent because i walk from home”","dueDate":"2026-05-26","intent":"call","ownerDisplayName":null,"ownerRole":"USER","ownerSpeaker":"Speaker 1","ownerSpeakerId":"spk_1","ownerSpeakerLabel":"Speaker 1","priority":"high","sourceSegmentIds":["seg_0011","seg_0012"],"title":"Call back to check weather it works"}
    callType: "support"
    commitments:
    - {"sourceSegmentIds":["seg_0008"],"speakerId":"spk_1","text":"“i'll send you the replacement router by friday”"}
    - {"sourceSegmentIds":["seg_0010"],"speakerId":"spk_1","text":"“of coarse i'll email you the conversation today”"}
    - {"sourceSegmentIds":["seg_0012"],"speakerId":"spk_1","text":"“sure i will call you next tuesday at three p m”"}
    conversationOutcome: "Decided: “we agreed to skip the set of fee has well”"
    decisions:
    - {"importance":"medium","sourceSegmentIds":["seg_0008"],"speakerId":"spk_1","text":"“we agreed to skip the set of fee has well”"}
    executiveSummary: "Support call of about a minute about router, replacement and warranty, 190 words long. The statement closest to its topics: “high maria my router keeps dropping the collection every evening and it's really frustrating”. Found in it: 1 decision and 3 action items."
    executiveSummaryBullets:
    - {"header":"Router","paragraphs":["“it start it about two weeks a go i already restarted the rotor three times and nothing helped” “i understand you're router still has the old firm where so we”"],"startTimestamp":"00:00"}
    - {"header":"Replacement and router","paragraphs":["“i'll send you the replacement router by friday”"],"startTimestamp":"00:34"}
    - {"header":"Closing","paragraphs":["“could you please email me the confirmation at tom dot baker at example dot com” “one more think can you call me back next tuesday at three p m to check weather it works it's urgent because i walk from home” “thank you for your patients tom good buy”"],"startTimestamp":"00:54"}
    followUps: []
    importantDates:
    - {"context":"“i'll send you the replacement router by friday”","date":"2026-05-22","sourceSegmentIds":["seg_0008"],"text":"friday"}
    - {"context":"“of coarse i'll email you the conversation today”","date":"2026-05-20","sourceSegmentIds":["seg_0010"],"text":"today"}
    - {"context":"“one more think can you call me back next tuesday at three p m to check weather it works it's urgent because i walk from home”","date":"2026-05-26","sourceSegmentIds":["seg_0011","seg_0012"],"text":"next tuesday"}
    keyDiscussionPoints: []
    nextSteps: []
    numbersAndAmounts:
    - {"context":"“it start it about two weeks a go i already restarted the rotor three times and nothing helped”","kind":"number","sourceSegmentIds":["seg_0004"],"text":"two weeks","unit":"weeks","value":2.0}
    - {"context":"“yes it is the knew router normal lee costs eighty nine dollars but for you it's three”","kind":"money","sourceSegmentIds":["seg_0007"],"text":"eighty nine dollars","unit":"USD","value":89.0}
    oneLineSummary: "Support call about router, replacement and warranty, with 3 action items."
    openQuestions: []
    opportunities: []
    peopleMentioned:
    - {"context":"“good morning this is maria from north wind support”","name":"Maria","sourceSegmentIds":["seg_0001","seg_0002"]}
    - {"context":"“yes it is the knew router normal lee costs eighty nine dollars but for you it's three”","name":"Lee","sourceSegmentIds":["seg_0007"]}
    - {"context":"“thank you for your patients tom good buy”","name":"Tom","sourceSegmentIds":["seg_0012"]}
    qualityWarnings: ["extractive_engine","draft_quality_transcript"]
    risks:
    - {"importance":"medium","sourceSegmentIds":["seg_0002"],"speakerId":"spk_2","text":"“high maria my router keeps dropping the collection every evening and it's really frustrating”"}
    schemaVersion: 3
    sections:
    - {"id":"sec_001","items":[{"importance":"high","sourceSegmentIds":["seg_0007"],"speaker":"Speaker 1","text":"“yes it is the knew router normal lee costs eighty nine dollars but for you it's three”"}],"title":"Figures","type":"figures"}
    - {"id":"sec_002","items":[{"importance":"low","sourceSegmentIds":["seg_0006"],"speaker":"Speaker 2","text":"“is the replacement cover it by the warranty”"}],"title":"Questions","type":"question"}
    sentiment:
      contactSentiment: {"notes":"Counted by word lexicon: 1 positive statement and 1 negative statement.","overall":"neutral","score":-0.12}
      emotionalSignals: ["frustrated","appreciative"]
      overall: "neutral"
      progression: [{"note":"Strongest words: “high maria my router keeps dropping the collection every evening and it's really frustrating”","overall":"negative","phase":"opening","sourceSegmentIds":["seg_0002"]},{"note":"No words of strong feeling.","overall":"neutral","phase":"middle","sourceSegmentIds":["seg_0011"]},{"note":"Strongest words: “thank you for your patients tom good buy”","overall":"positive","phase":"closing","sourceSegmentIds":["seg_0012"]}]
      reason: "Counted by word lexicon: 2 positive statements and 1 negative statement."
      score: 0.06
      userSentiment: {"notes":"Counted by word lexicon: 1 positive statement and no negative statement.","overall":"positive","score":0.18}
    suggestedTitle: "Support call: router and replacement"
    tags: ["support","router","replacement","warranty"]
    tone:
      byParty: {"contactTone":{"descriptors":["pressing","polite","inquiring"],"notes":"Measured: 150 words per minute of speech; per hundred words 1.2 formal, 0.0 informal and 4.7 emphatic expressions.","overall":"formal-business"},"userTone":{"descriptors":["helpful","warm","polite"],"notes":"Measured: 150 words per minute of speech; per hundred words 1.0 formal, 0.0 informal and 0.0 emphatic expressions.","overall":"supportive"}}
      descriptors: ["helpful","pressing","polite"]
      energy: "medium"
      formality: "formal"
      notes: "Measured: 150 words per minute of speech; per hundred words 1.1 formal, 0.0 informal and 2.1 emphatic expressions."
      overall: "supportive"
      pace: "normal"
    "#);
}
