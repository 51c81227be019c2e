use super::outline;
use crate::tests::fixtures::{recorded, support_call};

#[test]
fn the_whole_document() {
    let document = outline(&crate::analyse(&support_call(), &recorded()));
    insta::assert_snapshot!(document, @r#"
    actionItems:
    - {"description":"“I'll send you the replacement router by Friday.”","dueDate":"2026-05-22","intent":"task","ownerDisplayName":null,"ownerRole":"USER","ownerSpeaker":"Speaker 1","ownerSpeakerId":"spk_1","ownerSpeakerLabel":"Speaker 1","priority":"medium","sourceSegmentIds":["seg_0008"],"title":"Send the replacement router"}
    - {"description":"“Could you please email me the confirmation at tom.baker@example.com?”","dueDate":"2026-05-20","intent":"email","intentMetadata":{"subject":"The confirmation","toEmail":"tom.baker@example.com"},"ownerDisplayName":null,"ownerRole":"USER","ownerSpeaker":"Speaker 1","ownerSpeakerId":"spk_1","ownerSpeakerLabel":"Speaker 1","priority":"medium","sourceSegmentIds":["seg_0009","seg_0010"],"title":"Email the confirmation"}
    - {"description":"“One more thing, can you call me back next Tuesday at 3 pm to check whether it works?”","dueDate":"2026-05-26","intent":"call","ownerDisplayName":null,"ownerRole":"USER","ownerSpeaker":"Speaker 1","ownerSpeakerId":"spk_1","ownerSpeakerLabel":"Speaker 1","priority":"high","sourceSegmentIds":["seg_0011","seg_0012"],"title":"Call back to check"}
    callType: "support"
    commitments:
    - {"sourceSegmentIds":["seg_0008"],"speakerId":"spk_1","text":"“I'll send you the replacement router by Friday.”"}
    - {"sourceSegmentIds":["seg_0010"],"speakerId":"spk_1","text":"“Of course, I'll email you the confirmation today.”"}
    - {"sourceSegmentIds":["seg_0012"],"speakerId":"spk_1","text":"“Sure, I will call you next Tuesday at 3 pm.”"}
    conversationOutcome: "Decided: “We agreed to skip the setup fee as well.”"
    decisions:
    - {"importance":"medium","sourceSegmentIds":["seg_0008"],"speakerId":"spk_1","text":"“We agreed to skip the setup fee as well.”"}
    executiveSummary: "Support call of about a minute about router, replacement, firmware and warranty, 172 words long. The statement closest to its topics: “Hi Maria, my router keeps dropping the connection every evening, and it's really frustrating.” Found in it: 1 decision and 3 action items."
    executiveSummaryBullets:
    - {"header":"Router and firmware","paragraphs":["“It started about two weeks ago.” “I already restarted the router three times and nothing helped.” “Your router still has the old firmware, so we should replace it.”"],"startTimestamp":"00:00"}
    - {"header":"Replacement and router","paragraphs":["“I'll send you the replacement router by Friday.”"],"startTimestamp":"00:33"}
    - {"header":"Confirmation","paragraphs":["“Of course, I'll email you the confirmation today.” “One more thing, can you call me back next Tuesday at 3 pm to check whether it works?” “It's urgent because I work from home.”"],"startTimestamp":"00:51"}
    followUps: []
    importantDates:
    - {"context":"“It started about two weeks ago.”","date":"2026-05-06","sourceSegmentIds":["seg_0004"],"text":"two weeks ago"}
    - {"context":"“I'll send you the replacement router by Friday.”","date":"2026-05-22","sourceSegmentIds":["seg_0008"],"text":"Friday"}
    - {"context":"“Of course, I'll email you the confirmation today.”","date":"2026-05-20","sourceSegmentIds":["seg_0010"],"text":"today"}
    - {"context":"“One more thing, can you call me back next Tuesday at 3 pm to check whether it works?”","date":"2026-05-26","sourceSegmentIds":["seg_0011","seg_0012"],"text":"next Tuesday"}
    keyDiscussionPoints: []
    nextSteps: []
    numbersAndAmounts:
    - {"context":"“The new router normally costs $89, but for you it's free.”","kind":"money","sourceSegmentIds":["seg_0007"],"text":"$89","unit":"USD","value":89.0}
    oneLineSummary: "Support call about router, replacement and firmware, with 3 action items."
    openQuestions: []
    opportunities: []
    peopleMentioned:
    - {"context":"“Good morning, this is Maria from Northwind support.”","name":"Maria","sourceSegmentIds":["seg_0001","seg_0002"]}
    - {"context":"“Thank you for your patience, Tom.”","name":"Tom","sourceSegmentIds":["seg_0012"]}
    qualityWarnings: ["extractive_engine"]
    risks:
    - {"importance":"medium","sourceSegmentIds":["seg_0002"],"speakerId":"spk_2","text":"“Hi Maria, my router keeps dropping the connection every evening, and it's really frustrating.”"}
    schemaVersion: 3
    sections:
    - {"id":"sec_001","items":[{"importance":"high","sourceSegmentIds":["seg_0007"],"speaker":"Speaker 1","text":"“The new router normally costs $89, but for you it's free.”"}],"title":"Figures","type":"figures"}
    - {"id":"sec_002","items":[{"importance":"low","sourceSegmentIds":["seg_0006"],"speaker":"Speaker 2","text":"“Is the replacement covered by the warranty?”"}],"title":"Questions","type":"question"}
    sentiment:
      contactSentiment: {"notes":"Counted by word lexicon: 1 positive statement and 1 negative statement.","overall":"neutral","score":-0.11}
      emotionalSignals: ["frustrated","appreciative"]
      overall: "neutral"
      progression: [{"note":"Strongest words: “Hi Maria, my router keeps dropping the connection every evening, and it's really frustrating.”","overall":"negative","phase":"opening","sourceSegmentIds":["seg_0002"]},{"note":"No words of strong feeling.","overall":"neutral","phase":"middle","sourceSegmentIds":["seg_0004"]},{"note":"No words of strong feeling.","overall":"neutral","phase":"closing","sourceSegmentIds":["seg_0011"]}]
      reason: "Counted by word lexicon: 1 positive statement and 1 negative statement."
      score: -0.07
      userSentiment: {"notes":"Counted by word lexicon: no positive statement and no negative statement.","overall":"neutral","score":0.0}
    suggestedTitle: "Support call: router and replacement"
    tags: ["support","router","replacement","firmware","warranty","confirmation"]
    tone:
      byParty: {"contactTone":{"descriptors":["pressing","polite","inquiring"],"notes":"Measured: 150 words per minute of speech; per hundred words 1.3 formal, 0.0 informal and 5.3 emphatic expressions.","overall":"formal-business"},"userTone":{"descriptors":["helpful","polite"],"notes":"Measured: 150 words per minute of speech; per hundred words 1.0 formal, 0.0 informal and 0.0 emphatic expressions.","overall":"supportive"}}
      descriptors: ["helpful","pressing","polite"]
      energy: "medium"
      formality: "formal"
      notes: "Measured: 150 words per minute of speech; per hundred words 1.2 formal, 0.0 informal and 2.3 emphatic expressions."
      overall: "supportive"
      pace: "normal"
    "#);
}
