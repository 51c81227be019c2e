//! Words that tell what kind of call it is. A kind needs several different ones.

use super::{List, Table};

pub(super) const PHRASES: &[Table] = &[
    (
        List::CallType,
        "support",
        &[
            "support", "help desk", "ticket", "case number", "reset", "restart", "reboot", "not working", "broken",
            "error", "error message", "troubleshoot", "warranty", "technician", "repair", "router", "refund",
            "replacement", "customer service", "stopped working", "outage", "log in", "password", "defective",
            "serial number", "how can i help", "printer", "firmware", "does not work", "keeps dropping", "complaint",
        ],
    ),
    (
        List::CallType,
        "sales",
        &[
            "pricing", "quote", "proposal", "demo", "discount", "subscription", "license", "licenses", "seats",
            "trial", "upgrade", "purchase", "procurement", "competitor", "annual plan", "sales", "product", "offer",
            "roi", "pipeline", "sign up", "per seat", "per user", "buy", "pilot", "package", "deal",
        ],
    ),
    (
        List::CallType,
        "interview",
        &[
            "interview", "candidate", "resume", "cv", "position", "salary", "hiring", "job", "experience with",
            "years of experience", "strengths", "weakness", "notice period", "recruiter", "role", "tell me about yourself",
            "previous employer", "start date", "career", "hiring manager",
        ],
    ),
    (
        List::CallType,
        "finance",
        &[
            "loan", "mortgage", "interest rate", "account balance", "investment", "portfolio", "tax", "taxes", "bank",
            "credit card", "payment plan", "insurance", "premium", "audit", "budget", "wire transfer", "statement",
            "accountant", "dividend", "pension", "overdraft",
        ],
    ),
    (
        List::CallType,
        "healthcare",
        &[
            "doctor", "appointment", "prescription", "patient", "symptoms", "pain", "medication", "clinic", "hospital",
            "nurse", "blood pressure", "fever", "dose", "diagnosis", "treatment", "pharmacy", "allergy", "surgery",
            "test results", "side effects", "therapy",
        ],
    ),
    (
        List::CallType,
        "legal",
        &[
            "lawyer", "attorney", "court", "lawsuit", "legal", "clause", "settlement", "hearing", "plaintiff",
            "defendant", "liability", "evidence", "testimony", "law firm", "power of attorney", "litigation", "witness",
            "custody", "deposition",
        ],
    ),
    (
        List::CallType,
        "education",
        &[
            "school", "student", "students", "teacher", "class", "course", "homework", "exam", "lesson", "university",
            "semester", "grade", "grades", "tuition", "college", "curriculum", "assignment", "lecture", "professor",
            "enroll", "enrolment",
        ],
    ),
    (
        List::CallType,
        "business",
        &[
            "meeting", "project", "deadline", "team", "client", "customer", "report", "presentation", "contract",
            "invoice", "budget", "stakeholders", "roadmap", "agenda", "quarter", "milestone", "supplier", "delivery",
            "schedule", "office", "department", "release", "sprint", "vendor", "manager", "shipment", "order",
        ],
    ),
    (
        List::CallType,
        "personal",
        &[
            "mom", "mum", "dad", "birthday", "dinner", "love you", "kids", "party", "weekend", "holiday", "vacation",
            "grandma", "grandpa", "honey", "sister", "brother", "wedding", "miss you", "darling", "movie", "babysitter",
        ],
    ),
];
