use super::super::fixtures::{recorded, support_call};
use crate::analyse;

#[test]
fn the_whole_document() {
    let document =
        serde_json::to_string_pretty(&analyse(&support_call(), &recorded())).expect("a writable document");
    insta::assert_snapshot!(document, @r#"
    {
      "schemaVersion": 3,
      "callType": "support",
      "suggestedTitle": "Support call: router and replacement",
      "oneLineSummary": "Support call about router, replacement and firmware, with 3 action items.",
      "executiveSummary": "Support call of about a minute about router, replacement, firmware and warranty, 172 words long. The statement closest to its topics: “Hi Maria, my router keeps dropping the connection every evening, and it's really frustrating.” Found in it: 1 decision and 3 action items.",
      "executiveSummaryBullets": [
        {
          "header": "Router and firmware",
          "startTimestamp": "00:00",
          "paragraphs": [
            "“It started about two weeks ago.” “I already restarted the router three times and nothing helped.” “Your router still has the old firmware, so we should replace it.”"
          ]
        },
        {
          "header": "Replacement and router",
          "startTimestamp": "00:33",
          "paragraphs": [
            "“I'll send you the replacement router by Friday.”"
          ]
        },
        {
          "header": "Confirmation",
          "startTimestamp": "00:51",
          "paragraphs": [
            "“Of course, I'll email you the confirmation today.” “One more thing, can you call me back next Tuesday at 3 pm to check whether it works?” “It's urgent because I work from home.”"
          ]
        }
      ],
      "conversationOutcome": "Decided: “We agreed to skip the setup fee as well.”",
      "sections": [
        {
          "id": "sec_001",
          "title": "Figures",
          "type": "figures",
          "items": [
            {
              "text": "“The new router normally costs $89, but for you it's free.”",
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
              "text": "“Is the replacement covered by the warranty?”",
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
          "description": "“I'll send you the replacement router by Friday.”",
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
          "description": "“Could you please email me the confirmation at tom.baker@example.com?”",
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
          "title": "Call back to check",
          "description": "“One more thing, can you call me back next Tuesday at 3 pm to check whether it works?”",
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
          "text": "two weeks ago",
          "date": "2026-05-06",
          "context": "“It started about two weeks ago.”",
          "sourceSegmentIds": [
            "seg_0004"
          ]
        },
        {
          "text": "Friday",
          "date": "2026-05-22",
          "context": "“I'll send you the replacement router by Friday.”",
          "sourceSegmentIds": [
            "seg_0008"
          ]
        },
        {
          "text": "today",
          "date": "2026-05-20",
          "context": "“Of course, I'll email you the confirmation today.”",
          "sourceSegmentIds": [
            "seg_0010"
          ]
        },
        {
          "text": "next Tuesday",
          "date": "2026-05-26",
          "context": "“One more thing, can you call me back next Tuesday at 3 pm to check whether it works?”",
          "sourceSegmentIds": [
            "seg_0011",
            "seg_0012"
          ]
        }
      ],
      "decisions": [
        {
          "text": "“We agreed to skip the setup fee as well.”",
          "speakerId": "spk_1",
          "importance": "medium",
          "sourceSegmentIds": [
            "seg_0008"
          ]
        }
      ],
      "commitments": [
        {
          "text": "“I'll send you the replacement router by Friday.”",
          "speakerId": "spk_1",
          "sourceSegmentIds": [
            "seg_0008"
          ]
        },
        {
          "text": "“Of course, I'll email you the confirmation today.”",
          "speakerId": "spk_1",
          "sourceSegmentIds": [
            "seg_0010"
          ]
        },
        {
          "text": "“Sure, I will call you next Tuesday at 3 pm.”",
          "speakerId": "spk_1",
          "sourceSegmentIds": [
            "seg_0012"
          ]
        }
      ],
      "openQuestions": [],
      "risks": [
        {
          "text": "“Hi Maria, my router keeps dropping the connection every evening, and it's really frustrating.”",
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
          "context": "“Good morning, this is Maria from Northwind support.”",
          "sourceSegmentIds": [
            "seg_0001",
            "seg_0002"
          ]
        },
        {
          "name": "Tom",
          "context": "“Thank you for your patience, Tom.”",
          "sourceSegmentIds": [
            "seg_0012"
          ]
        }
      ],
      "numbersAndAmounts": [
        {
          "text": "$89",
          "kind": "money",
          "value": 89.0,
          "unit": "USD",
          "context": "“The new router normally costs $89, but for you it's free.”",
          "sourceSegmentIds": [
            "seg_0007"
          ]
        }
      ],
      "sentiment": {
        "overall": "neutral",
        "score": -0.07,
        "reason": "Counted by word lexicon: 1 positive statement and 1 negative statement.",
        "userSentiment": {
          "overall": "neutral",
          "score": 0.0,
          "notes": "Counted by word lexicon: no positive statement and no negative statement."
        },
        "contactSentiment": {
          "overall": "neutral",
          "score": -0.11,
          "notes": "Counted by word lexicon: 1 positive statement and 1 negative statement."
        },
        "progression": [
          {
            "phase": "opening",
            "overall": "negative",
            "note": "Strongest words: “Hi Maria, my router keeps dropping the connection every evening, and it's really frustrating.”",
            "sourceSegmentIds": [
              "seg_0002"
            ]
          },
          {
            "phase": "middle",
            "overall": "neutral",
            "note": "No words of strong feeling.",
            "sourceSegmentIds": [
              "seg_0004"
            ]
          },
          {
            "phase": "closing",
            "overall": "neutral",
            "note": "No words of strong feeling.",
            "sourceSegmentIds": [
              "seg_0011"
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
        "notes": "Measured: 150 words per minute of speech; per hundred words 1.2 formal, 0.0 informal and 2.3 emphatic expressions.",
        "byParty": {
          "userTone": {
            "overall": "supportive",
            "descriptors": [
              "helpful",
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
            "notes": "Measured: 150 words per minute of speech; per hundred words 1.3 formal, 0.0 informal and 5.3 emphatic expressions."
          }
        }
      },
      "tags": [
        "support",
        "router",
        "replacement",
        "firmware",
        "warranty",
        "confirmation"
      ],
      "qualityWarnings": [
        "extractive_engine"
      ]
    }
    "#);
}
