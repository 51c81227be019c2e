//! How questions begin, and which of them ask for nothing.

use super::{List, Table};

pub(super) const PHRASES: &[Table] = &[
    (
        List::QuestionOpening,
        "",
        &[
            "what is", "what are", "what was", "what were", "what do", "what does", "what did", "what can", "what kind",
            "what time", "what about", "what would", "what will", "what happens", "what happened", "what should",
            "when is", "when are", "when do", "when does", "when did", "when can", "when will", "when would", "when was",
            "where is", "where are", "where do", "where does", "where did", "where can", "where was", "who is",
            "who are", "who will", "who can", "who does", "who was", "why is", "why are", "why do", "why does",
            "why did", "why was", "why can", "how is", "how are", "how do", "how does", "how did", "how can",
            "how much", "how many", "how long", "how often", "how about", "how soon", "how old", "how will",
            "how would", "how was", "which is", "which one", "which are", "which of", "do you", "do we", "do they",
            "do i", "does it", "does that", "does this", "does he", "does she", "does the", "did you", "did we",
            "did they", "did it", "did he", "did she", "is it", "is that", "is there", "is this", "is the", "is he",
            "is she", "is your", "is my", "are you", "are we", "are they", "are there", "are the", "are these",
            "can i", "can we", "can you", "can they", "can it", "could i", "could we", "could you", "could it",
            "would you", "would it", "would that", "would we", "should i", "should we", "should it", "will you",
            "will it", "will we", "will there", "will that", "have you", "have we", "have they", "has it", "has the",
            "has anyone", "was it", "was that", "was there", "were you", "were there", "may i",
        ],
    ),
    (
        List::Courtesy,
        "",
        &[
            "how are you", "how are things", "how is it going", "how have you been", "how do you do", "can you hear me",
            "can you see my", "do you hear me", "are you there", "how can i help", "how may i help", "what can i do for",
            "is this a good time", "you know what i mean", "is that okay", "is that right", "is that correct",
            "does that make sense", "does that sound", "how was your weekend", "how about you", "is there anything else",
            "anything else", "can i put you", "may i put you", "could you hold", "can you hold", "do you have a moment",
            "do you have a minute", "you see what i mean", "how does that sound", "are you still there",
            "would that work", "does that work", "can i have your name", "may i have your name", "who am i speaking",
            "what is up", "how come", "are you with me", "can i ask", "may i ask", "what about you",
        ],
    ),
    (
        List::NoAnswer,
        "",
        &[
            "i do not know", "not sure", "no idea", "good question", "let me check", "let me find out", "i will check",
            "i will find out", "i will have to check", "i have to check", "i need to check", "i will ask", "let me ask",
            "get back to you", "i will look into", "we will have to see", "hard to say", "i can not tell",
            "we do not know", "i will get back", "come back to you", "have to ask", "need to ask",
        ],
    ),
    (
        List::Opener,
        "",
        &[
            "how can i", "can you", "could you", "would you", "thank you", "thanks", "what is", "what are", "what do",
            "i will", "we will", "let me", "let us", "okay", "alright", "do you", "did you", "is there", "are you",
            "i am calling", "my name is", "please send", "please call", "yeah", "yes", "no problem", "hello", "sorry",
            "i am sorry", "when can", "when will", "how much", "how many", "how long", "is it", "i need", "i have",
            "i think", "we agreed", "we need", "goodbye", "bye", "well", "sure", "great", "perfect", "it is",
            "there is", "the problem is", "i am going to", "we are", "we have", "i do not", "that is", "you can",
        ],
    ),
];
