"""Questions as they come in chat: at the end of 80 to 300 words about other things.

The talk before the question is our own, put together by a seed, and has nothing to do with any dialogue: what a player
tells of a day before asking.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from bench.memory.dialogues import Dialogue, Query

WORDS = (80, 300)
TALK = (
    "I have only just sat down, and my back is still complaining about the stairs.",
    "The rain did not stop until noon, so the whole street smelled of wet stone.",
    "Somebody had left a cart right in front of the gate and nobody knew whose it was.",
    "I waited nearly an hour for the clerk, who then told me to come back on another day.",
    "There was a long argument at the next table about the price of lamp oil.",
    "My boots will not last the winter, I can already feel the pebbles through the soles.",
    "A boy tried to sell me three apples for the price of five, which made me laugh.",
    "I meant to tidy up this morning, but then I found that old box of buttons.",
    "They are painting the fence green now, and half of the pavement along with it.",
    "The soup was too salty again and I ate it all the same.",
    "I keep thinking that I have left a candle burning somewhere, though I never do.",
    "On the way here I counted eleven pigeons on one roof, all facing the same way.",
    "The new timetable is a joke, nothing arrives when it says and nobody seems to mind.",
    "I slept badly, then overslept, and then could not find my other glove.",
    "We had visitors until late, very loud ones, with a great many opinions.",
    "It is strange how quiet the square becomes once the stalls are packed up.",
    "I tried to fix the hinge myself and now the door will not close at all.",
    "The tea has gone cold while I was talking, as usual.",
    "Half of the shelves were empty, and what was left was mostly turnips.",
    "I read four pages of that thick book and understood perhaps one of them.",
    "The wind kept pulling at the shutters as if it wanted to come in.",
    "There is a crack in the window that gets a little longer every week.",
    "I was going to write a letter, but I could not find a pen that works.",
    "An old man fed the ducks and told every one of them to wait for its turn.",
    "My neighbour is practising the same song again, always up to the same wrong note.",
    "They say that the bridge will be closed, then they say that it will not.",
    "I promised myself to walk more, and so far I have walked to the bakery.",
    "The queue went around the corner, so I gave up and went for a stroll instead.",
    "All the clocks in that shop show a different hour, and the owner finds it charming.",
    "I have a pile of papers in front of me that I do not want to look at.",
    "Honestly, the fog this evening was so thick that I greeted a lamp post.",
    "I burnt the first pancake, the second one stuck, and the third one was perfect.",
    "The carpet seller wanted to know everything about me except whether I need a carpet.",
    "It took me three attempts to thread the needle, and then I sewed on the wrong patch.",
    "Nothing much has happened otherwise, only the usual bits and pieces of a long day.",
    "Anyway, I did not come here to complain, even if it sounds like it.",
)


def ask_at_the_end(dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    """The same dialogues and evidence; the questions are longer."""
    return [
        replace(
            dialogue,
            queries=[_longer(query, f"{dialogue.id}/{number}") for number, query in enumerate(dialogue.queries)],
        )
        for dialogue in dialogues
    ]


def _longer(query: Query, seed: str) -> Query:
    chance = random.Random(seed)
    wanted, talk = chance.randint(*WORDS), list[str]()
    for sentence in chance.sample(TALK, len(TALK)):
        talk.append(sentence)
        if len(" ".join(talk).split()) >= wanted:
            break
    return replace(query, text=f"{' '.join(talk)} {query.text}")
