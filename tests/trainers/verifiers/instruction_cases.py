"""For each kind of instruction: arguments, replies that follow and replies that do not."""

from __future__ import annotations

from typing import Any

PROMPT = "Name a river of France."
PHRASE = "the cat sat on the mat"
ENGLISH = "The quick brown fox jumps over the lazy dog near the river bank today"

CASES: dict[str, list[tuple[dict[str, Any], list[str], list[str]]]] = {
    "keywords:existence": [
        ({"keywords": ["C++", "lake"]}, ["I write c++ by the LAKE."], ["I write C by the lake.", "C++"]),
    ],
    "keywords:frequency": [
        ({"keyword": "lake", "frequency": 2, "relation": "at least"}, ["Lake, lakes."], ["One lake."]),
        ({"keyword": "lake", "frequency": 2, "relation": "less than"}, ["One lake.", "None."], ["lake lake"]),
    ],
    "keywords:forbidden_words": [
        ({"forbidden_words": ["cat", "C++"]}, ["A category of birds."], ["A Cat.", "I use c++."]),
    ],
    "keywords:letter_frequency": [
        ({"letter": "Q", "let_frequency": 2, "let_relation": "at least"}, ["Quick quiz"], ["quick"]),
        ({"letter": "#", "let_frequency": 1, "let_relation": "less than"}, ["none"], ["# one"]),
    ],
    "language:response_language": [
        ({"language": "de"}, ["Guten Morgen, wie geht es Ihnen heute an diesem schönen Tag?"], [ENGLISH, "12345"]),
        ({"language": "hi"}, ["यह एक सुंदर दिन है और हम बाहर जा रहे हैं।"], [ENGLISH]),
        ({"language": "zh-cn"}, ["今天天气很好，我们一起去公园散步吧。"], [ENGLISH]),
    ],
    "length_constraints:number_sentences": [
        (
            {"num_sentences": 3, "relation": "at least"},
            ["One. Two! Three?", "Dr. Ada is here. She met J. Smith at 5 p.m. on Monday. They left."],
            ["One. Two.", "I met Dr. Smith, Mr. Jones and Mrs. Hall. Fine."],
        ),
        ({"num_sentences": 2, "relation": "less than"}, ["Version 3.5 costs 1.5 euros."], ["One. Two."]),
    ],
    "length_constraints:number_paragraphs": [
        ({"num_paragraphs": 2}, ["one\n***\ntwo", "*** one *** two"], ["one", "one *** *** two", "a***b***c"]),
    ],
    "length_constraints:number_words": [
        ({"num_words": 3, "relation": "at least"}, ["one two three"], ["one two"]),
        ({"num_words": 3, "relation": "less than"}, ["one two"], ["one two three"]),
    ],
    "length_constraints:nth_paragraph_first_word": [
        (
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
            ["First.\n\n'then, we go", "First.\n\nTHEN"],
            ["First.\n\nNow", "First.\n\nThen\n\nAnd", "Then", "First.\n\nThenceforth"],
        ),
    ],
    "detectable_content:number_placeholders": [
        ({"num_placeholders": 2}, ["[name] of [place]"], ["[name]", "[name\n] []"[:8], "name] ["]),
    ],
    "detectable_content:postscript": [
        ({"postscript_marker": "P.S."}, ["Bye.\nP.S. I am well", "p. s. hello"], ["Bye.", "PS hello"]),
        ({"postscript_marker": "P.P.S"}, ["P.P.S. again"], ["P.S. once"]),
        ({"postscript_marker": "(N.B.)"}, ["(n.b.) well"], ["nb well"]),
    ],
    "detectable_format:number_bullet_lists": [
        ({"num_bullets": 2}, ["* one\n* two", "- one\n  - two\ntext"], ["* one", "** one\n** two", "- a\n- b\n- c"]),
    ],
    "detectable_format:constrained_response": [
        ({}, ["My answer is yes.", "Well. My answer is maybe."], ["yes", "My answer is Yes"]),
    ],
    "detectable_format:number_highlighted_sections": [
        ({"num_highlights": 2}, ["*one* and **two**", "*a* *b*"], ["*one*", "** ** and * *", "a * b"]),
    ],
    "detectable_format:multiple_sections": [
        (
            {"section_spliter": "SECTION", "num_sections": 2},
            ["SECTION 1\na\nSECTION 2\nb"],
            ["SECTION 1\na", "section 1 section 2", "SECTION one SECTION two"],
        ),
        ({"section_spliter": "Part (a)", "num_sections": 1}, ["Part (a) 1"], ["Part a 1"]),
    ],
    "detectable_format:json_format": [
        ({}, ['{"a": [1, 2]}', "```json\n[1]\n```", "5"], ["{a: 1}", "NaN", "[" * 100_000, 'Here: {"a": 1}']),
    ],
    "detectable_format:title": [({}, ["<<Ode to joy>>\nText"], ["<Ode>", "<<>>", "<< >>", "<<Ode\nto>>"])],
    "combination:two_responses": [
        (
            {},
            ["one ****** two", "****** one ****** two"],
            ["one", "one ****** one", "a****** ******b", "a******b******c"],
        ),
    ],
    "combination:repeat_prompt": [
        ({"prompt_to_repeat": PROMPT}, [f"{PROMPT}\nThe Loire.", PROMPT.upper()], ["The Loire.", f"Sure. {PROMPT}"]),
    ],
    "startend:end_checker": [
        ({"end_phrase": "Any questions?"}, ["Done. any questions?", '"Done. Any questions?"'], ["Any questions? Yes."]),
    ],
    "startend:quotation": [({}, ['"quoted"', ' "a b" \n'], ["plain", '"half', '"'])],
    "change_case:capital_word_frequency": [
        ({"capital_frequency": 2, "capital_relation": "at least"}, ["NASA and COVID-19 now"], ["NASA now", "Nasa Esa"]),
        ({"capital_frequency": 2, "capital_relation": "less than"}, ["NASA now"], ["NASA AND ESA"]),
    ],
    "change_case:english_capital": [
        ({}, [ENGLISH.upper(), "YES SIR."], [ENGLISH, "DAS IST EIN SCHÖNER TAG UND WIR GEHEN NACH HAUSE", "123"]),
    ],
    "change_case:english_lowercase": [
        ({}, [ENGLISH.lower(), "yes sir."], [ENGLISH, "das ist ein schöner tag und wir gehen nach hause", "123"]),
    ],
    "punctuation:no_comma": [({}, ["No comma; none."], ["Yes, one."])],
    "copy:repeat_phrase": [
        (
            {"phrase": PHRASE, "small_n": 2},
            ["the cat lay on the mat, the dog sat on the mat"],
            [
                "the cat lay on the mat",
                f"{PHRASE}, the dog sat on the mat",
                "the dog lay on the mat, the pig ran on the mat",
                "the cat lay on the mat. the dog sat on the mat. the cat sat by the mat.",
            ],
        ),
    ],
    "copy:copy": [({"prompt_to_repeat": PROMPT}, [PROMPT, f" {PROMPT.lower()}\n"], [f"{PROMPT} Loire", "Loire"])],
    "copy:copying_simple": [({"prompt_to_repeat": PROMPT}, [PROMPT], [f"Sure: {PROMPT}", "Loire"])],
    "copy:copying_multiple": [
        (
            {"prompt_to_repeat": PROMPT, "N": 2},
            [f"{PROMPT} ****** {PROMPT}"],
            [PROMPT, f"{PROMPT} ****** Loire", "******".join([PROMPT] * 3)],
        ),
    ],
    "new:copy_span_idx": [
        ({"prompt_to_repeat": PROMPT, "n_start": 5, "n_end": 12}, ["a river", "a river "], ["river", "Name a river"]),
        ({"prompt_to_repeat": PROMPT, "n_start": 0, "n_end": 3}, ["Nam", "Name"], ["Na", PROMPT]),
    ],
    "detectable_format:sentence_hyphens": [
        ({}, ["One is here.-Two is there.-Three."], ["One. Two.", "One.- Two.", "One. -Two.", "One.-Two. Three."]),
    ],
    "detectable_format:square_brackets": [({}, ["[one] [two]"], ["[one] two", "[one two]", "[] [a]", "one"])],
    "detectable_format:bigram_wrapping": [
        ({}, ["<<I am>> <<at home>>", "<<I am>> <<at home>> now"], ["I am at home", "<<I am at home>>", "word"]),
    ],
    "keywords:no_adjacent_consecutive": [
        ({}, ["a cat eats", "zebra ant"], ["a bird", "Apple, (banana)", "we do eat"]),
    ],
    "keywords:word_once": [({"keyword": "lake"}, ["One Lake."], ["None.", "lake lake"])],
    "keywords:word_count_different_numbers": [
        ({"keyword": "a+b", "frequency": 2, "relation": "exactly"}, ["a+b A+B"], ["a+b", "a+b a+b a+b"]),
        ({"keyword": "x", "frequency": 2, "relation": "at least"}, ["x x x"], ["x"]),
        ({"keyword": "x", "frequency": 2, "relation": "less than"}, ["x", "y"], ["x x"]),
    ],
    "keywords:exclude_word_harder": [
        ({"keyword": "lake"}, ["A river.", "Lakeside."], ["The lake.", "Lake!", "a lake b"])
    ],
    "paragraphs:paragraphs": [({}, ["one\n***\ntwo"], ["one", "one *** *** two", "a *** b *** c"])],
    "paragraphs:paragraphs2": [({}, ["one\n\ntwo", "one\n\ntwo\n\n"], ["one\ntwo", "a\n\nb\n\nc", "a\n\n\n\nb"])],
    "first_word:first_word_sent": [
        ({"first_word": "now"}, ["Now I go. Now you stay!"], ["Now I go. You stay.", "I go now."]),
    ],
    "first_word:first_word_answer": [({"first_word": "now"}, ["Now, I go."], ["I go now.", "Nowhere."])],
    "last_word:last_word_sent": [
        ({"last_word": "now"}, ["I go now. You stay NOW!"], ["I go now. You stay.", "Now I go."]),
    ],
    "last_word:last_word_answer": [({"last_word": "now"}, ["I go. You stay now!"], ["Now I go.", "I go now, sir."])],
    "punctuation:punctuation_dot": [({}, ["No dot!"], ["A dot.", "3.5"])],
    "punctuation:punctuation_exclamation": [({}, ["None."], ["One!"])],
    "count:lowercase_counting": [({"N": 2}, ["One two THREE four"], ["one two three"])],
    "letters:letter_counting": [
        ({"N": 4, "relation": "at least"}, ["four", "fo-ur 5"], ["two", "1234"]),
        ({"N": 4, "relation": "less than"}, ["two"], ["four"]),
    ],
    "letters:letter_counting2": [
        ({"letter": "e", "let_frequency": 2, "let_relation": "at least"}, ["Eve"], ["Anna"]),
        ({"letter": "e", "let_frequency": 1, "let_relation": "less than"}, ["Anna"], ["Eve"]),
    ],
    "count:counting_composition": [
        (
            {"n_sent": 1, "n_words": 3},
            ["The cat sat. * * * A dog ran. * * * We all slept!", "The cat sat.\n***\nA dog ran.\n***\nWe all slept."],
            [
                "The cat sat. *** A dog ran.",
                "The cat sat. *** A dog. *** We all slept.",
                "A b c. D e f. *** g h i *** j k l",
            ],
        ),
    ],
    "count:count_unique": [({}, ["Each, word, once."], ["The dog and the cat.", "no No", "..."])],
    "count:count_increment_word": [
        (
            {"keyword1": "sun", "keyword2": "moon"},
            ["Sun, moon, moon."],
            ["Sun, moon.", "sun sun moon moon", "moon moon"],
        ),
    ],
    "keywords:palindrome": [({}, ["At noon we eat.", "Level"], ["I saw a bird.", "No 11 here"])],
    "keywords:keyword_specific_position": [
        (
            {"keyword": "cat", "n": 2, "m": 3},
            ["Hello. I, the cat am here.", "Hi! We two CAT"],
            ["Hello. The cat is here.", "I see cat.", "Hello. I am."],
        ),
    ],
    "keywords:start_end": [({}, ["Now is now", "word by Word"], ["Now is now.", "now", "one two"])],
}
