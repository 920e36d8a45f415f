"""The sentences of the dialogue in which a person teaches edge a thing. Pure.

{label} is the thing, {other} one that it is taken for. A name may mean one thing or several, as "my keys" does, so no
sentence calls it "it".
"""

SHOW_EMPTY = "First show me the place without {label}."
SHOW = "Now show me {label}, slowly, from all sides."
ONLY_EMPTY = "I only see the empty place."
CLOSER, TURN = "closer", "show me another side"
TWO_THINGS = "I see two things: show me only one."
LEARNING = "One moment."
KNOWN = "I know {label} now."
KNOWN_PARTLY = "I know {label} now, but not from all sides."
PICTURES_KEPT = "I've kept small pictures of this."
CONFUSED = "I can't tell {label} from {other}: show me again, closer."
UNSURE = "I don't recognise {label} yet: show me again, closer."
NOT_TOLD_APART = "I can't tell {label} from {other}, so I've learnt nothing new."
NOT_LEARNT = "I've learnt nothing new about {label}."
STOPPED = "I've stopped. I've learnt nothing new about {label}."
BLIND = "My camera has stopped, so I've learnt nothing new about {label}."
OTHER_MODEL = "I'm using another model now, so I've learnt nothing new about {label}."
NOT_KEPT = "I couldn't save what I learnt about {label}."
UNTEACHABLE = "I can't learn new things with this model."
SENTENCES = (
    SHOW_EMPTY,
    SHOW,
    ONLY_EMPTY,
    CLOSER,
    TURN,
    TWO_THINGS,
    LEARNING,
    KNOWN,
    KNOWN_PARTLY,
    PICTURES_KEPT,
    CONFUSED,
    UNSURE,
    NOT_TOLD_APART,
    NOT_LEARNT,
    STOPPED,
    BLIND,
    OTHER_MODEL,
    NOT_KEPT,
    UNTEACHABLE,
)
