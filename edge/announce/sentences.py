"""All sentences that edge says besides those about labels: what a translation must have."""

from edge.announce import answers, notices, teaching

SENTENCES = (*notices.SENTENCES, *answers.SENTENCES, *teaching.SENTENCES)
