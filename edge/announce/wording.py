"""The sentences that edge says: in English, in another language, or in the user's own words.

No sentence mixes languages. A thing without words in the language is named by its group, or not at all. A sentence
without a translation is said in English, with English words.
"""

import string
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edge.announce.articles import as_certain, as_taught, with_article
from edge.announce.english import Entry, bare, load_english, plain, said_by_name
from edge.announce.notices import AND_OTHERS
from edge.announce.translation import ONE_FORM, Forms, forms_of, our_translation, read_translation
from edge.errors import ConfigError
from edge.settings import AnnounceSettings, SpeechSettings
from edge.stages import Term, is_taught

TOLD = 20
"""Number of missing lines that are reported one by one."""


class Words:
    """Builds the sentences."""

    def __init__(
        self,
        announce: AnnounceSettings,
        speech: SpeechSettings | None = None,
        tell: Callable[[str], object] = lambda _line: None,
    ) -> None:
        """Call `tell` once for each line that the translation lacks. Raises ConfigError for a file with faults."""
        self._announce = announce
        self._tell = tell
        # the user's own sentences need no translation
        self._own_sentences = {
            getattr(announce, key)
            for key in ("template", "maybe_template", "maybe_or_template", "not_sure_text")
            if getattr(announce, key) != getattr(AnnounceSettings(), key)
        }
        self._rename = {plain(label): name for label, name in announce.rename.items()}
        self._layers = [read_translation(path) for path in translation_files(speech)] if speech else []
        for sentence in self._own_sentences:
            for _, name, form, _ in string.Formatter().parse(sentence):
                if form and self._layers and not any(form in layer.forms for layer in self._layers):
                    forms = ", ".join(self._layers[-1].forms)
                    raise ConfigError(f"[announce] {sentence!r}: unknown form {form!r} for {{{name}}}; known: {forms}")
        self._ids_by_name: Mapping[str, set[str]] | None = None
        self._missing: set[str] = set()
        if speech and not self._layers and speech.language and not speech.language.lower().startswith("en"):
            tell(
                f"edge has no translation for {speech.language!r}, so it speaks English; "
                "[speech] translations can name a translation file."
            )

    # a missing line is reported only if the sentence is really `spoken`

    def sure(self, term: Term, *, spoken: bool = True) -> str:
        """Return the sentence for a thing that is clearly there."""
        return self._sentence("template", spoken, label=term)

    def maybe(self, term: Term, other: Term | None = None, *, spoken: bool = True) -> str:
        """Return the sentence for a thing that is likely, or for two things if it is likely one of them."""
        if other is None or self._forms(other) == self._forms(term):
            return self._sentence("maybe_template", spoken, label=term)
        return self._sentence("maybe_or_template", spoken, label=term, other=other)

    def not_sure(self, *, spoken: bool = True) -> str:
        """Return the sentence for something unknown."""
        return self._sentence("not_sure_text", spoken)

    def notice(self, text: str, *, spoken: bool = True) -> str:
        """Return the translation of a sentence about edge itself; the English one if there is none.

        After a colon there may be names, as the user has written them: these are not translated.
        """
        intro, colon, names = text.partition(": ")
        if colon and any(intro + ":" in layer.sentences for layer in self._layers):
            first, others, end = names.rpartition(f" {AND_OTHERS}.")
            names = f"{first} {self._translated(AND_OTHERS, spoken) or AND_OTHERS}." if others else end
            return f"{self._translated(intro + ':', spoken)} {names}"
        return self._translated(text, spoken) or text

    def about(self, sentence: str, term: Term, other: Term | None = None) -> str:
        """Return one of edge's own sentences about a thing that it is taught, or two ({label}, {other}).

        In English the thing is a certain one: "the blue cup", where "I see a blue cup" may mean any.
        """
        return self._filled(sentence, sentence, True, {"label": term, "other": other or term}, certain=True)

    def sayable(self, terms: Iterable[Term], *, spoken: bool = True) -> Term | None:
        """Return the first term that the language has words for: a label, then its groups. None if there is none."""
        asked = ""
        for term in terms:
            asked = asked or term.label
            if forms := self._forms(term):
                if term.label != asked and spoken:
                    self._lacks(asked, f"edge says its group, {format(forms, '')!r}")
                return term
        if asked and spoken:
            self._lacks(asked, "edge does not say it")
        return None

    def names(self, term: Term) -> frozenset[str]:
        """Return all plain names that a person may use for it, to mute or rename it."""
        said = [term.label, bare(term.label)]
        if is_taught(term.id):
            return frozenset(map(plain, said))
        if entry := self._entry(term):
            said += [entry.said, bare(entry.said)]
        if forms := self._translation(term):
            for form in forms.values():
                said += [form, *(bare(form, layer.articles) for layer in self._layers)]
        return frozenset(map(plain, said))

    def english(self, term: Term) -> str:
        """Return its English words, with the article."""
        if is_taught(term.id):
            return as_taught(term.label)
        entry = self._entry(term)
        return entry.said if entry else with_article(term.label)

    # ---- words

    def _forms(self, term: Term) -> Forms | None:
        """Return the words for a thing in the spoken language; None if there are none."""
        own = self._own_name(term)
        if own is not None:
            return self._renamed(own)
        if is_taught(term.id):
            # in the user's own words in every language; only English has articles that edge can add
            return _one(term.label if self._layers else self.english(term))
        return self._translation(term) if self._layers else _one(self.english(term))

    def _own_name(self, term: Term) -> str | None:
        """Return what the settings rename it to; None if they do not."""
        return next((self._rename[name] for name in self._ways(term) if name in self._rename), None)

    def _ways(self, term: Term) -> Iterable[str]:
        """Return the plain names by which the settings may rename it, its own first; none if nothing is renamed."""
        return (plain(term.label), *sorted(self.names(term))) if self._rename else ()

    def _renamed(self, own: str) -> Forms:
        if not self._layers:
            return _one(with_article(own))
        for forms in (self._by_label(own), *(forms_of(own, layer.forms) for layer in reversed(self._layers))):
            if forms:
                return forms
        return _one(own)  # articles of other languages are the user's

    def _translation(self, term: Term) -> Forms | None:
        entry = self._entry(term)
        names = [entry.said, bare(entry.said)] if entry else []
        # skip the label if people use the word for another thing: a Cardigan is a dog, a cardigan is not
        if entry is None or said_by_name().get(plain(term.label), entry.said) == entry.said:
            names.append(term.label)
        for layer in self._layers:
            for name in names:
                if forms := layer.labels.get(plain(name)):
                    return forms
            if entry and (forms := layer.words.get(term.id)):
                return forms
        return None if entry else self._by_label(term.label)

    def _by_label(self, label: str) -> Forms | None:
        """Return the words for a label without an id, if it can mean one thing only; else None."""
        name = plain(label)
        for layer in self._layers:
            if forms := layer.labels.get(name):
                return forms
        if self._ids_by_name is None:
            # complete before another thread sees it
            self._ids_by_name = _ids_by_name()
        ids = self._ids_by_name.get(name, set())
        for layer in self._layers:
            found = [layer.words[identity] for identity in sorted(ids) if identity in layer.words]
            if found:
                return found[0] if all(one == found[0] for one in found) else None
        return None

    @staticmethod
    def _entry(term: Term) -> Entry | None:
        """Return the English list's entry for the id; None if the model's label differs: then that label is used."""
        entry = load_english().get(term.id)
        if entry and plain(term.label) in (plain(entry.label), plain(bare(entry.said))):
            return entry
        return None

    # ---- sentences

    def _sentence(self, key: str, spoken: bool, **terms: Term) -> str:
        return self._filled(getattr(self._announce, key), getattr(AnnounceSettings(), key), spoken, terms)

    def _filled(
        self, mine: str, default: str, spoken: bool, terms: Mapping[str, Term], *, certain: bool = False
    ) -> str:
        """Return the translation of the sentence `mine` with its fields filled in. `certain`: with "the", not "a"."""
        translated = self._translated(mine, spoken)
        in_english = translated is None and mine == default
        said = last = ""
        for text, place, form, _ in string.Formatter().parse(mine if translated is None else translated):
            # words that contain a comma are followed by one: "maybe a crane, the bird, or a stork"
            said += "," * (", " in last and text[:1] == " ")
            last = ""
            if place is not None:
                forms = None if self._layers and in_english else self._forms(terms[place])
                if certain and (forms is None or not self._layers):
                    own = None if self._layers else self._own_name(terms[place])
                    forms = _one(as_certain(own or terms[place].label))
                forms = forms or _one(self.english(terms[place]))
                last = format(forms, form or self._usual_form(default, place))
            said += text + last
        return said

    def _usual_form(self, sentence: str, place: str) -> str:
        """Return the form for a field if the user's template names none: the one in the sentence it replaces."""
        return next((form for layer in self._layers if (form := layer.form_of(sentence, place))), "")

    def _translated(self, english: str, spoken: bool) -> str | None:
        for layer in self._layers:
            if english in layer.sentences:
                return layer.sentences[english]
        if spoken and english not in self._own_sentences:
            self._lacks(english, "edge says it in English")
        return None

    def _lacks(self, line: str, instead: str) -> None:
        if not self._layers or line in self._missing or len(self._missing) > TOLD:
            return
        self._missing.add(line)
        file = self._layers[0].path.name
        if len(self._missing) <= TOLD:
            self._tell(f"{file} has no line for {line!r}: {instead}.")
        else:
            self._tell(f"{file} lacks more lines; edge voices --check {self._layers[0].path} lists them.")


def translation_files(speech: SpeechSettings) -> list[Path]:
    """Return the file that the settings name, then edge's own file for the language. An empty list means English."""
    files = [Path(speech.translations)] if speech.translations else []
    ours = our_translation(speech.language)
    return files if ours is None else [*files, ours]


def _ids_by_name() -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for identity, entry in load_english().items():
        for one in {entry.label, bare(entry.said)}:
            found.setdefault(plain(one), set()).add(identity)
    return found


def _one(text: str) -> Forms:
    return Forms({ONE_FORM[0]: text})
