//! Given names. Only evidence for a person, never proof of one: a name that is also a word needs a capital
//! letter or an introduction.

pub(crate) const GIVEN_NAMES: &[&str] = &[
    "aaron", "abdul", "abigail", "adam", "aditya", "adrian", "ahmed", "aisha", "akash", "alan", "albert", "alejandro",
    "alex", "alexander", "alexandra", "ali", "alice", "alicia", "alison", "amanda", "amelia", "amir", "amit", "amy",
    "ana", "anders", "andre", "andrea", "andreas", "andrew", "angela", "anil", "anita", "anjali", "anna", "anne",
    "annie", "anthony", "antonio", "arjun", "arthur", "arun", "ashley", "ashok", "astrid", "barbara", "beatrice",
    "benjamin", "bernard", "bharat", "bjorn", "boris", "brandon", "brenda", "brian", "bruno", "camila", "carla",
    "carlos", "carmen", "caroline", "catherine", "cecilia", "charles", "charlotte", "chen", "chloe", "chris",
    "christian", "christina", "christine", "christopher", "claire", "clara", "claudia", "craig", "cynthia", "daniel",
    "daniela", "dave", "david", "deborah", "deepak", "denise", "dennis", "derek", "diana", "diego", "dieter",
    "dimitri", "dmitri", "dominic", "donald", "donna", "dorothy", "douglas", "edward", "elena", "elias", "elizabeth",
    "ella", "ellen", "emily", "emma", "eric", "erik", "esther", "eva", "evelyn", "fatima", "felix", "fernando",
    "fiona", "florian", "frances", "francesca", "francis", "francisco", "frederick", "gabriel", "gary", "george",
    "gerald", "giovanni", "gloria", "gordon", "greg", "gregory", "greta", "gustavo", "hannah", "hans", "hassan",
    "heather", "hector", "helen", "helena", "henrik", "henry", "hiroshi", "hugo", "ibrahim", "igor", "ingrid", "irene",
    "isabel", "isabella", "ivan", "jacob", "james", "jamie", "jane", "janet", "jason", "javier", "jeff", "jeffrey",
    "jennifer", "jenny", "jeremy", "jerry", "jessica", "jim", "joan", "johannes", "john", "johnny", "jonas",
    "jonathan", "jorge", "jose", "joseph", "joshua", "juan", "judith", "judy", "julia", "julian", "julie", "karen",
    "karl", "karthik", "kate", "katherine", "kathleen", "katie", "kavita", "keith", "kelly", "kenneth", "kevin",
    "khalid", "kim", "kiran", "klaus", "krishna", "kumar", "lakshmi", "larry", "lars", "laura", "lauren", "lee",
    "leila", "leo", "leon", "leonardo", "linda", "lisa", "lorenzo", "louis", "louise", "lucas", "lucia", "lucy",
    "luis", "lukas", "luke", "madison", "manuel", "marcel", "marco", "marcus", "margaret", "maria", "marie", "mario",
    "marta", "martha", "martin", "mary", "mateo", "matthew", "maya", "megan", "mei", "melissa", "michael", "michelle",
    "miguel", "mike", "mohammed", "monica", "muhammad", "nadia", "nancy", "natalia", "natalie", "natasha", "neha",
    "nicholas", "nicolas", "nicole", "nikhil", "nina", "noah", "nora", "oliver", "olivia", "omar", "oscar", "pablo",
    "pamela", "patricia", "patrick", "paul", "paula", "pedro", "peter", "petra", "philip", "pierre", "pooja",
    "praveen", "priya", "rachel", "rafael", "rahul", "raj", "rajesh", "ralph", "ramesh", "raymond", "rebecca",
    "ricardo", "richard", "rita", "robert", "roberto", "rodrigo", "roger", "rohan", "rohit", "ronald", "rosa",
    "russell", "ryan", "sabine", "samantha", "samuel", "sandeep", "sandra", "sanjay", "sara", "sarah", "scott", "sean",
    "sebastian", "sergio", "shannon", "sharon", "shreya", "simon", "sofia", "sonia", "sophia", "sophie", "stefan",
    "stephanie", "stephen", "steve", "steven", "sunil", "suresh", "susan", "svetlana", "tanya", "teresa", "thomas",
    "tim", "timothy", "tina", "tobias", "tom", "tomas", "tyler", "ursula", "valentina", "vanessa", "veronica",
    "victor", "victoria", "vijay", "vikram", "vincent", "vinod", "virginia", "vladimir", "walter", "wei", "wendy",
    "william", "wolfgang", "xavier", "yasmin", "yuki", "yusuf", "zoe", "ravi",
];

/// Names that are words as well: people only with a capital letter within a sentence, or introduced.
pub(crate) const NAMES_THAT_ARE_WORDS: &[&str] = &[
    "art", "bill", "bob", "carol", "chase", "dawn", "drew", "faith", "frank", "grace", "grant", "guy", "harry", "hope",
    "iris", "jack", "jade", "joe", "joy", "june", "lily", "mark", "max", "may", "miles", "nick", "pat", "ray", "rich",
    "rob", "rose", "ruby", "sam", "sue", "ted", "violet", "will",
];
