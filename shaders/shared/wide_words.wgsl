// wide_words: the words of a group that an invocation waits for. It asks for all at once, so that a round costs one trip.

struct Words {
    //for i in SLOTS
    //for c in 4
    word$i_$c: u32,
    //end
    //end
}

// What has come of the words from here on, of so many rows. Nobody looks at the answers yet, so they may travel while there is other work.
fn asked(from_word: u32, rows: u32, at: u32) -> Words {
    return Words(
        //for i in SLOTS
        //for c in 4
        word_at(select(0u, from_word + ($iu * 4u + $cu) * THREADS + at, is_slot($iu * THREADS + at, rows))),
        //end
        //end
    );
}

// The answers, with h = 0 for what is not wanted.
fn wanted(words: Words, rows: u32, at: u32) -> Words {
    return Words(
        //for i in SLOTS
        //for c in 4
        select(ABSENT, words.word$i_$c, is_slot($iu * THREADS + at, rows)),
        //end
        //end
    );
}

fn are_all_there(words: Words) -> bool {
    var least = ABSENT;
    //for i in SLOTS
    //for c in 4
    least = min(least, words.word$i_$c);
    //end
    //end
    return least != 0u;
}

// Asks until all have come, and for all of them again. Who has asked in vain too often in a launch raises the abort word.
fn waited(before: Words, from_word: u32, rows: u32, at: u32, step: u32, polls: ptr<function, u32>) -> Words {
    var words = before;
    while (!are_all_there(words)) {
        *polls += 1u;
        if (*polls >= params.most_polls || (*polls % 256u == 0u && atomicOr(&control[0], 0u) != 0u)) {
            atomicStore(&control[0], step + 1u);
            atomicStore(&leaving, 1u);
            break;
        }
        words = wanted(asked(from_word, rows, at), rows, at);
    }
    return words;
}
