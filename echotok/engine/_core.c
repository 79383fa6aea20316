/* The compiled core: what `text`, `table.match`, `bpe` and `engine.encoder` do, for text that is
 * ASCII after folding. `echotok.engine.core` builds it from the Python engine, which stays the
 * oracle: the tests hold both to the same ids, units and spans.
 *
 * A text is worked off stretch by stretch (up to each full stop that a space follows, where the
 * table allows it): normalize, split into pieces, match phrases and values, BPE for the rest, marks
 * in between. A stretch that is not ASCII, or that holds a word of more than LONGEST_WORD
 * characters, is given to the Python engine.
 *
 * Every array is written through a check of its capacity; every index from the table is checked
 * when the core is built.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <structmember.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_WORD 256
#define LONGEST_RUN 8
#define MEMO_BITS 14
#define MEMO_TEXT 24
#define MEMO_IDS 8
#if defined(__GNUC__)
#define COLD __attribute__((cold, noinline)) /* made small */
#define NOINLINE __attribute__((noinline))
#else
#define COLD
#define NOINLINE
#endif
#define KNOWN_BITS 11
#define KNOWN_WAYS 8
#define KNOWN_TEXT 400
#define LONGEST_STRETCH 65000 /* places in a stretch are 16 bits wide */
#define KNOWN_ROOM (1 << 20)
#define PADDING 16
#define BARE_VALUE INT32_MAX

enum { OK = 0, HARD = 1, NO_MEMORY = -1 };
enum { EDGE_PLAIN, EDGE_TIGHT, EDGE_HYPHEN, EDGE_OPEN, EDGE_WORD, EDGE_NONE };
enum { IS_DIGIT = 1, IS_LETTER = 2, IS_CLOSER = 4, IS_STOP = 8, IS_UNIT_FIRST = 16 };
#define IS_ALNUM (IS_DIGIT | IS_LETTER)
enum { SHAPE_SPACE = 1, SHAPE_CLOSER = 2, SHAPE_UNIT = 4, SHAPE_OTHER = 8 };
#define FOLD_SPACE 0x20
#define FOLD_HARD 0x80

/* ------------------------------------------------------------------ tables */

/* A text as two numbers: its first 16 characters; of a longer one the first 8, and its hash. */
typedef struct {
    uint64_t head, tail;
    uint32_t hash, length;
} Key;

/* Half a line of the cache: most words are found with one look at the memory. */
typedef struct {
    uint64_t head, tail; /* in the tail of a long text the place in the blob stands beside the hash */
    int32_t whole;       /* id of the BPE token that is this word; -1 is none */
    int32_t piece;       /* number of the literal piece in the tries; 0 is none */
    int32_t root;        /* node behind this piece at the start of a phrase; 0 is none */
    uint16_t types;      /* where its list of types begins; 0 is none */
    uint16_t length;
} Entry;

typedef struct {
    uint64_t key;
    int32_t child;
} Step;

typedef struct {
    uint64_t key;
    int32_t rank, id;
} Merge;

typedef struct {
    int32_t end;   /* phrase that ends here, BARE_VALUE, or -1 */
    int32_t value; /* id of the value that ends here, or -1 */
    int32_t first_slot, num_slots;
} Node;

typedef struct {
    int32_t type, spaced, child; /* spaced: 0, 1, or 2 for either */
} Slot;

typedef struct {
    uint64_t head, tail; /* as in an Entry */
    uint32_t length;
    int32_t role, position;
} NumberToken;

typedef struct {
    uint8_t length, first;
    char text[30];
} Unit;

typedef struct {
    uint64_t text[MEMO_TEXT / 8];
    int32_t ids[MEMO_IDS];
    uint8_t length, count;
} Memo;

/* Stretches that were met before, the last one first in each row. At its second sight what came out
 * of a stretch is kept, in `kept` of the scratch: KEPT_HEAD numbers, the text, ids, spans, units. */
typedef struct {
    uint32_t tag;
    uint32_t place; /* in `kept`; 0: met once */
} Known;
#define KEPT_HEAD 3

typedef struct {
    uint16_t start, end; /* in the normalized stretch, without the space before it */
    uint32_t hash;
    uint8_t spaced, number, word;
    const Entry *entry;
} Piece;

/* What came out of one stretch. */
typedef struct {
    int32_t begin;      /* in the text */
    int32_t ids, units; /* how many */
    int32_t hard;       /* number of its trace where the Python engine encoded it; -1: the core did */
} Block;

/* In the stretch: start in the low half, end in the high one. */
typedef uint32_t Span;
#define SPAN(start, end) ((Span)(start) | (Span)(end) << 16)
#define SPAN_START(span) ((int32_t)((span) & 0xffff))
#define SPAN_END(span) ((int32_t)((span) >> 16))

/* Where a unit ends in the ids and in the pieces of its stretch. */
typedef struct {
    int32_t ids, pieces;
} UnitEnd;

typedef struct {
    int32_t type, first, last, id, parent;
} Value;

typedef struct {
    int32_t node, at, values, num_values;
} Way;

typedef struct {
    int32_t phrase, end, values, num_values;
} Match;

#define WORDS_BITS 9
typedef struct {
    uint64_t rows[1 << WORDS_BITS][2]; /* the head and tail of a Key; 0 is none */
} Words;

#define VECTOR(type, name) type *name; size_t name##_size, name##_room

typedef struct Scratch {
    struct Scratch *next;
    VECTOR(char, norm);
    VECTOR(uint16_t, origin); /* of each normalized character, in the stretch */
    VECTOR(Piece, pieces);
    VECTOR(Value, values);
    VECTOR(Way, ways);
    /* what comes out */
    VECTOR(int32_t, ids);
    VECTOR(Span, spans); /* of each id */
    VECTOR(UnitEnd, units);
    VECTOR(Block, blocks);
    VECTOR(uint32_t, kept);
    Known known[1 << KNOWN_BITS][KNOWN_WAYS];
    int32_t word_ids[2 * LONGEST_WORD + 2];
    Memo memo[1 << MEMO_BITS];
} Scratch;

typedef struct {
    PyObject_HEAD
    /* vocabulary */
    int32_t vocab_size, bos, eos, join, space, severity, num_closable, number, phrase;
    int32_t num_phrases;
    uint8_t *phrase_left, *phrase_right;
    int8_t closing[128]; /* turn of a closing character, 0 is none */
    int sentences_part, joins_parts, compact;
    uint8_t *halves; /* for each id how many halves of a byte it stands for */
    /* pieces and words */
    char *blob;
    size_t blob_size;
    Entry *entries;
    uint32_t entries_mask;
    int32_t *types;
    size_t num_types;
    Node *nodes;
    int32_t num_nodes;
    Slot *slots;
    int32_t num_slots;
    Step *steps;
    uint32_t steps_mask;
    int32_t *enum_roots;
    int32_t num_enums; /* types, `number` as the first counted */
    /* BPE */
    Merge *merges;
    uint32_t merges_mask;
    int32_t byte_symbols[256][2]; /* one or two symbols; the second is -1 where there is one */
    int32_t last_symbols[256];
    int32_t end_symbol;
    /* numbers */
    int own_numbers;
    NumberToken *numbers;
    uint32_t numbers_mask;
    int32_t *number_lengths;
    int32_t num_numbers, longest_number;
    /* normalizing */
    uint8_t classes[256];
    uint32_t shapes[256]; /* what a character is, what may not follow it, its folded form: 8 bits each */
    Unit *unit_names;
    int32_t num_unit_names;
    /* sentences */
    Words abbreviations, dangling;
    PyObject *unify_lines, *is_inner, *goes_on;
    /* Python */
    PyObject *encode_hard, *span_hard;
    PyObject **integers;
    PyObject *weak_references;
    Scratch *pool;
} Core;

static uint8_t FOLD[128];
static uint8_t EXPECTS_SPACE[5][5];

static COLD int
grow(void **data, size_t *room, size_t need, size_t item)
{
    size_t wanted = *room ? *room : 64;
    while (wanted < need) {
        if (wanted > SIZE_MAX / 4 / item)
            return NO_MEMORY;
        wanted *= 2;
    }
    void *bigger = realloc(*data, wanted * item);
    if (bigger == NULL)
        return NO_MEMORY;
    *data = bigger;
    *room = wanted;
    return OK;
}

#define RESERVE(s, name, count)                                                                    \
    ((count) <= (s)->name##_room                                                                   \
         ? OK                                                                                      \
         : grow((void **)&(s)->name, &(s)->name##_room, (count), sizeof(*(s)->name)))

static inline uint64_t
load(const char *text, size_t length)
{
    uint64_t word = 0;
    memcpy(&word, text, 8); /* all texts have PADDING behind them */
    if (length >= 8)
        return word;
#if PY_BIG_ENDIAN
    return word >> (64 - 8 * length);
#else
    return word & ((1ULL << (8 * length)) - 1);
#endif
}

static inline uint32_t
hash_long(const char *text, size_t length)
{
    uint64_t hash = length * 0x9E3779B97F4A7C15ULL;
    while (length > 8) {
        hash = (hash ^ load(text, 8)) * 0xD6E8FEB86659FD93ULL;
        hash ^= hash >> 32;
        text += 8;
        length -= 8;
    }
    if (length)
        hash = (hash ^ load(text, length)) * 0xD6E8FEB86659FD93ULL;
    hash ^= hash >> 29;
    return (uint32_t)(hash ^ (hash >> 32));
}

static inline uint32_t
hash_key(uint64_t key)
{
    key *= 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(key >> 32);
}

static inline Key
key_of(const char *text, size_t length)
{
    Key key = {.length = (uint32_t)length};
    if (length > 16) {
        key.head = load(text, 8);
        key.hash = hash_long(text, length);
        key.tail = (uint64_t)key.hash << 32;
        return key;
    }
    key.head = load(text, length < 8 ? length : 8);
    uint64_t hash = (key.head ^ length * 0x9E3779B97F4A7C15ULL) * 0xD6E8FEB86659FD93ULL;
    if (length > 8) {
        key.tail = load(text + 8, length - 8);
        hash = (hash ^ hash >> 32 ^ key.tail) * 0xD6E8FEB86659FD93ULL;
    }
    hash ^= hash >> 29;
    key.hash = (uint32_t)(hash ^ hash >> 32);
    return key;
}

static inline const Entry *
find_entry(const Core *core, const char *text, Key key)
{
    for (uint32_t at = key.hash & core->entries_mask;; at = (at + 1) & core->entries_mask) {
        const Entry *entry = &core->entries[at];
        if (entry->head == key.head && entry->length == key.length) {
            if (entry->tail == key.tail)
                return entry;
            if (key.length > 16 && entry->tail >> 32 == key.tail >> 32 &&
                memcmp(core->blob + (uint32_t)entry->tail, text, key.length) == 0)
                return entry;
        }
        if (entry->length == 0)
            return NULL;
    }
}

static inline int32_t
next_node(const Core *core, int32_t node, int32_t piece, int spaced)
{
    uint64_t key = ((uint64_t)node << 32) | ((uint64_t)piece << 1) | (uint64_t)spaced;
    for (uint32_t at = hash_key(key) & core->steps_mask;; at = (at + 1) & core->steps_mask) {
        const Step *step = &core->steps[at];
        if (step->key == key)
            return step->child;
        if (step->child == 0)
            return 0;
    }
}

/* ------------------------------------------------------------------ normalize */

static inline uint32_t
fold_character(uint32_t character)
{
    if (character < 128)
        return FOLD[character];
    if (character < 0x2000) {
        if (character == 0x85 || character == 0xa0 || character == 0x1680)
            return FOLD_SPACE;
        return character == 0xb4 || character == 0x2bc ? '\'' : FOLD_HARD;
    }
    if (character <= 0x200a)
        return FOLD_SPACE;
    switch (character) {
    case 0x2010: case 0x2011: case 0x2012: case 0x2013: case 0x2014: case 0x2015: case 0x2212:
    case 0xfe58: case 0xfe63:
        return '-';
    case 0x2018: case 0x2019: case 0x201a: case 0x201b: case 0x2032:
        return '\'';
    case 0x201c: case 0x201d: case 0x201e: case 0x201f: case 0x2033:
        return '"';
    case 0x2028: case 0x2029: case 0x202f: case 0x205f: case 0x3000:
        return FOLD_SPACE;
    }
    return FOLD_HARD;
}

static inline uint32_t
read_character(int kind, const void *data, Py_ssize_t at)
{
    if (kind == 1)
        return ((const Py_UCS1 *)data)[at];
    if (kind == 2)
        return ((const Py_UCS2 *)data)[at];
    return ((const Py_UCS4 *)data)[at];
}

#define FOLDED(at) fold_character(read_character(kind, data, (at)))

/* Whether a unit begins at a letter, with no letter or digit behind it. */
static inline int
unit_begins(const Core *core, int kind, const void *data, Py_ssize_t size, Py_ssize_t at)
{
    uint32_t first = FOLDED(at);
    for (int32_t number = 0; number < core->num_unit_names; number++) {
        const Unit *unit = &core->unit_names[number];
        if (unit->first != first || unit->length > size - at)
            continue;
        int same = 1;
        for (uint8_t k = 1; k < unit->length && same; k++)
            same = FOLDED(at + k) == (uint8_t)unit->text[k];
        if (!same)
            continue;
        Py_ssize_t behind = at + unit->length;
        if (behind == size || !(core->classes[FOLDED(behind)] & IS_ALNUM))
            return 1;
    }
    return 0;
}

/* Places one behind the other, from `place` on. */
static inline void
count_up(uint16_t *to, size_t count, uint16_t place)
{
    for (size_t at = 0; at < count; at++)
        to[at] = (uint16_t)(place + at);
}

/* Normalize characters that only have to be folded, up to the first other one; how many. */
static inline size_t
normalize_plain(const Core *core, const uint8_t *text, size_t size, char *norm, uint32_t refuse)
{
    size_t at = 0;
    for (; at < size; at++) {
        uint32_t shape = core->shapes[text[at]];
        if (shape & refuse)
            break;
        norm[at] = (char)(shape >> 16);
        refuse = shape >> 8 & 0xff;
    }
    return at;
}

/* Normalize one stretch from `*place`, which is at a visible character; move `*place` to the next
 * stretch, or the end. HARD: the stretch is one for the Python engine. */
static inline int
normalize_stretch(const Core *core, Scratch *s, int kind, const void *data, Py_ssize_t size,
                  Py_ssize_t *place)
{
    Py_ssize_t at = *place, begin = at;
    size_t length = 0;
    uint32_t last = 0; /* the character before */
    int run = 0;       /* of digits: 1 where a unit may follow, 2 behind a letter */
    int result = OK;
    char *norm = s->norm;
    uint16_t *origin = s->origin;
    size_t room = s->origin_room < s->norm_room ? s->origin_room : s->norm_room;
    while (at < size) {
        /* Two characters may come out of one step. */
        if (length + 2 + PADDING > room) {
            if (RESERVE(s, norm, 2 * length + 256) || RESERVE(s, origin, 2 * length + 256))
                return NO_MEMORY;
            norm = s->norm;
            origin = s->origin;
            room = s->origin_room < s->norm_room ? s->origin_room : s->norm_room;
        }
        if (at - begin > LONGEST_STRETCH)
            result = HARD;
        if (kind == 1 && result == OK) {
            size_t most = room - PADDING - 2 - length;
            if (most > (size_t)(size - at))
                most = (size_t)(size - at);
            if (most > (size_t)(LONGEST_STRETCH - (at - begin)))
                most = (size_t)(LONGEST_STRETCH - (at - begin));
            size_t plain = normalize_plain(core, (const uint8_t *)data + at, most, norm + length,
                                           core->shapes[last] >> 8 & 0xff);
            if (plain && norm[length + plain - 1] == ' ')
                plain--; /* what follows a space decides what becomes of it */
            if (plain) {
                count_up(origin + length, plain, (uint16_t)(at - begin));
                length += plain;
                at += (Py_ssize_t)plain;
                last = (uint8_t)norm[length - 1];
                run = 0;
                if (core->classes[last] & IS_DIGIT) {
                    size_t digits = length - 1;
                    while (digits && (core->classes[(uint8_t)norm[digits - 1]] & IS_DIGIT))
                        digits--;
                    run = digits && (core->classes[(uint8_t)norm[digits - 1]] & IS_LETTER) ? 2 : 1;
                }
                if (at == size)
                    break;
            }
        }
        uint32_t folded = FOLDED(at);
        if (folded == FOLD_SPACE) {
            Py_ssize_t next = at + 1;
            while (next < size && FOLDED(next) == FOLD_SPACE)
                next++;
            at = next;
            if (next == size)
                break;
            uint32_t following = FOLDED(next);
            if (core->classes[following] & (IS_CLOSER | IS_STOP)) {
                if ((core->classes[following] & IS_CLOSER) || next + 1 == size ||
                    !(core->classes[FOLDED(next + 1)] & IS_DIGIT))
                    continue; /* no space before closing punctuation */
            }
            if (last == '.' && core->sentences_part && following != FOLD_HARD)
                break;
            norm[length] = ' ';
            origin[length++] = (uint16_t)(next - 1 - begin);
            last = ' ';
            run = 0;
            continue;
        }
        if (folded == FOLD_HARD) {
            result = HARD;
            last = folded;
            at++;
            continue;
        }
        uint8_t kinds = core->classes[folded];
        if (kinds & IS_DIGIT) {
            if (run == 0)
                run = core->classes[last] & IS_LETTER ? 2 : 1;
        }
        else {
            if (run == 1 && (kinds & IS_UNIT_FIRST) && unit_begins(core, kind, data, size, at)) {
                norm[length] = ' ';
                origin[length++] = (uint16_t)(at - begin);
            }
            run = 0;
        }
        norm[length] = (char)folded;
        origin[length++] = (uint16_t)(at - begin);
        last = folded;
        at++;
    }
    *place = at;
    if (length > UINT16_MAX - 2 || at - begin > UINT16_MAX - 2)
        result = HARD;
    if (result == OK) {
        if (RESERVE(s, norm, length + PADDING))
            return NO_MEMORY;
        memset(s->norm + length, 0, PADDING);
        s->norm_size = length;
    }
    return result;
}

/* ------------------------------------------------------------------ pieces */

#define CLASS(at) (core->classes[(uint8_t)text[at]])

/* The end of digits with inner points or commas; `*before` is the end without the last group, or
 * 0. The text ends with a 0. */
static inline size_t
digits_end(const Core *core, const char *text, size_t at, size_t *before)
{
    *before = 0;
    while (CLASS(at) & IS_DIGIT)
        at++;
    while ((text[at] == '.' || text[at] == ',') && (CLASS(at + 1) & IS_DIGIT)) {
        *before = at;
        at += 2;
        while (CLASS(at) & IS_DIGIT)
            at++;
    }
    return at;
}

/* The end of the number at a place, or 0. `free`: a sign counts here. */
static inline size_t
number_end(const Core *core, const char *text, size_t at, int free)
{
    size_t before, before_second;
    if (text[at] == '<' || text[at] == '>' || text[at] == '~') {
        at += text[at] != '~' && text[at + 1] == '=' ? 2 : 1;
        at += text[at] == ' ';
        free = 1;
    }
    if (free) {
        at += text[at] == '-' || text[at] == '+';
        at += text[at] == '.';
    }
    if (!(CLASS(at) & IS_DIGIT))
        return 0;
    size_t end = digits_end(core, text, at, &before);
    size_t second = end + (text[end] == '%');
    if (text[second] == '-' || (text[second] == ' ' && text[second + 1] == '-')) {
        second += text[second] == ' ' ? 2 : 1;
        second += text[second] == ' ';
        second += text[second] == '.';
    }
    else if (memcmp(text + second, " to ", 4) == 0) {
        second += 4;
        second += text[second] == '-' || text[second] == '+';
        second += text[second] == '.';
    }
    else
        second = 0;
    if (second && (CLASS(second) & IS_DIGIT)) {
        second = digits_end(core, text, second, &before_second);
        if (!(CLASS(second) & IS_LETTER))
            return second;
        if (before_second)
            return before_second;
    }
    return CLASS(end) & IS_LETTER ? before : end;
}

static inline size_t
contraction_end(const Core *core, const char *text, size_t at)
{
    char first = text[at + 1], second = text[at + 2];
    size_t end = 0;
    if (first == 's' || first == 't' || first == 'm' || first == 'd')
        end = at + 2;
    else if (second == 'e' ? first == 'r' || first == 'v' : first == 'l' && second == 'l')
        end = at + 3;
    return end && !(CLASS(end) & IS_ALNUM) ? end : 0;
}

static int
split_stretch(const Core *core, Scratch *s, int first)
{
    const char *text = s->norm;
    size_t length = s->norm_size, at = 0, count = 0;
    if (RESERVE(s, pieces, 1))
        return NO_MEMORY;
    while (at < length) {
        if (RESERVE(s, pieces, count + 2))
            return NO_MEMORY;
        Piece *piece = &s->pieces[count++];
        piece->spaced = at ? text[at] == ' ' : !first;
        at += text[at] == ' ';
        uint8_t kinds = CLASS(at);
        char before = at ? text[at - 1] : ' ';
        size_t end = 0;
        piece->number = 0;
        piece->word = (kinds & IS_ALNUM) != 0;
        if (!(kinds & IS_LETTER)) {
            int free = before == ' ' || before == '(' || before == '[';
            end = number_end(core, text, at, free);
            piece->number = end != 0;
        }
        if (!end) {
            end = at + 1;
            if (kinds & IS_ALNUM) {
                while (CLASS(end) & IS_ALNUM)
                    end++;
            }
            else if (text[at] == '\'') {
                size_t contraction = contraction_end(core, text, at);
                if (contraction) {
                    end = contraction;
                    piece->word = 1;
                }
            }
        }
        piece->start = (uint16_t)at;
        piece->end = (uint16_t)end;
        Key key = key_of(text + at, end - at);
        piece->hash = key.hash;
        piece->entry = find_entry(core, text + at, key);
        at = end;
    }
    s->pieces_size = count;
    /* Matches nothing, so that every piece has a next one. */
    s->pieces[count] = (Piece){.start = (uint16_t)length, .end = (uint16_t)length, .spaced = 1};
    return OK;
}

/* ------------------------------------------------------------------ match */

static const int32_t NUMBER_TYPE[] = {1, 0};

/* How many types a value may have that begins with a piece; the list behind the count. */
static inline const int32_t *
types_at(const Core *core, const Piece *piece)
{
    if (piece->entry != NULL && piece->entry->types)
        return core->types + piece->entry->types;
    return piece->number ? NUMBER_TYPE : NULL;
}

static inline int32_t
slot_child(const Core *core, const Node *node, int32_t type, int32_t spaced)
{
    for (int32_t at = node->first_slot; at < node->first_slot + node->num_slots; at++)
        if (core->slots[at].type == type && core->slots[at].spaced == spaced)
            return core->slots[at].child;
    return 0;
}

static int
push_way(Scratch *s, int32_t node, int32_t type, size_t first, size_t last, int32_t id,
         int32_t values, int32_t num_values)
{
    if (s->values_size >= INT32_MAX / 2 || RESERVE(s, values, s->values_size + 1) ||
        RESERVE(s, ways, s->ways_size + 1))
        return NO_MEMORY;
    s->values[s->values_size] = (Value){type, (int32_t)first, (int32_t)last, id, values};
    s->ways[s->ways_size++] =
        (Way){node, (int32_t)last, (int32_t)s->values_size++, num_values + 1};
    return OK;
}

static int
branch(const Core *core, Scratch *s, int32_t node, const int32_t *types, size_t at, int32_t values,
       int32_t num_values)
{
    size_t low = s->ways_size;
    int32_t spaced = node == 0 ? 2 : s->pieces[at].spaced;
    for (int32_t turn = 1; turn <= types[0]; turn++) {
        int32_t type = types[turn];
        int32_t child = slot_child(core, &core->nodes[node], type, spaced);
        if (!child)
            continue;
        if (type == 0) {
            if (push_way(s, child, type, at, at + 1, -1, values, num_values))
                return NO_MEMORY;
            continue;
        }
        size_t begin = s->ways_size, place = at;
        int32_t value = core->enum_roots[type];
        while (place < s->pieces_size) {
            const Piece *piece = &s->pieces[place];
            if (piece->entry == NULL || piece->entry->piece == 0)
                break;
            value = next_node(core, value, piece->entry->piece, piece->spaced);
            if (!value)
                break;
            place++;
            if (core->nodes[value].value >= 0 &&
                push_way(s, child, type, at, place, core->nodes[value].value, values, num_values))
                return NO_MEMORY;
        }
        /* The longest value first. */
        for (size_t a = begin, b = s->ways_size; a + 1 < b; a++) {
            b--;
            Way way = s->ways[a];
            s->ways[a] = s->ways[b];
            s->ways[b] = way;
        }
    }
    /* What was found first is gone first: it lies on top. */
    for (size_t a = low, b = s->ways_size; a + 1 < b; a++) {
        b--;
        Way way = s->ways[a];
        s->ways[a] = s->ways[b];
        s->ways[b] = way;
    }
    return OK;
}

/* 1: `match` is the longest at a piece; 0: nothing matches. */
static int
longest(const Core *core, Scratch *s, size_t start, Match *match)
{
    const Piece *piece = &s->pieces[start];
    const int32_t *types = types_at(core, piece);
    int32_t node = piece->entry ? piece->entry->root : 0;
    if (types == NULL && node == 0)
        return 0;
    size_t at = start + 1;
    int32_t values = -1, num_values = 0;
    int found = 0;
    s->values_size = s->ways_size = 0;
    if (types != NULL && branch(core, s, 0, types, start, -1, 0))
        return NO_MEMORY;
    for (;;) {
        while (node) {
            const Node *here = &core->nodes[node];
            if (here->end >= 0) {
                int32_t end = (int32_t)at;
                if (!found || end > match->end ||
                    (end == match->end &&
                     (num_values < match->num_values ||
                      (num_values == match->num_values && here->end < match->phrase)))) {
                    *match = (Match){here->end, end, values, num_values};
                    found = 1;
                }
            }
            if (at >= s->pieces_size)
                break;
            piece = &s->pieces[at];
            if (here->num_slots && (types = types_at(core, piece)) != NULL &&
                branch(core, s, node, types, at, values, num_values))
                return NO_MEMORY;
            node = piece->entry && piece->entry->piece
                       ? next_node(core, node, piece->entry->piece, piece->spaced)
                       : 0;
            at++;
        }
        if (s->ways_size == 0)
            return found;
        Way way = s->ways[--s->ways_size];
        node = way.node;
        at = (size_t)way.at;
        values = way.values;
        num_values = way.num_values;
    }
}

/* ------------------------------------------------------------------ BPE */

static inline const Merge *
find_merge(const Core *core, int32_t left, int32_t right)
{
    uint64_t key = ((uint64_t)(uint32_t)left << 32) | (uint32_t)right;
    for (uint32_t at = hash_key(key) & core->merges_mask;; at = (at + 1) & core->merges_mask) {
        const Merge *merge = &core->merges[at];
        if (merge->id < 0)
            return NULL;
        if (merge->key == key)
            return merge;
    }
}

/* The ids of a word of at most LONGEST_WORD characters, as their number; they are in `*ids` until
 * the next call. */
static size_t
encode_word(const Core *core, Scratch *s, const char *text, size_t length, uint32_t hash,
            const Entry *entry, const int32_t **ids)
{
    if (entry != NULL && entry->whole >= 0) {
        *ids = &entry->whole;
        return 1;
    }
    Memo *memo = &s->memo[hash >> (32 - MEMO_BITS)];
    uint64_t parts_of_text[MEMO_TEXT / 8] = {0};
    if (length <= MEMO_TEXT) {
        for (size_t at = 0; 8 * at < length; at++)
            parts_of_text[at] = load(text + 8 * at, length - 8 * at < 8 ? length - 8 * at : 8);
        if (memo->length == length && memo->text[0] == parts_of_text[0] &&
            memo->text[1] == parts_of_text[1] && memo->text[2] == parts_of_text[2]) {
            *ids = memo->ids;
            return memo->count;
        }
    }
    int32_t *parts = s->word_ids;
    const Merge *pairs[2 * LONGEST_WORD + 2];
    size_t count = 0;
    for (size_t at = 0; at < length; at++) {
        uint8_t byte = (uint8_t)text[at];
        if (at + 1 == length && !core->compact) {
            parts[count++] = core->last_symbols[byte];
            break;
        }
        parts[count++] = core->byte_symbols[byte][0];
        if (core->byte_symbols[byte][1] >= 0)
            parts[count++] = core->byte_symbols[byte][1];
    }
    if (core->compact)
        parts[count++] = core->end_symbol;
    for (size_t at = 0; at + 1 < count; at++)
        pairs[at] = find_merge(core, parts[at], parts[at + 1]);
    for (;;) {
        const Merge *best = NULL;
        size_t place = 0;
        for (size_t at = 0; at + 1 < count; at++)
            if (pairs[at] != NULL && (best == NULL || pairs[at]->rank < best->rank)) {
                best = pairs[at];
                place = at;
            }
        if (best == NULL)
            break;
        parts[place] = best->id;
        count--;
        memmove(parts + place + 1, parts + place + 2, (count - place - 1) * sizeof(*parts));
        if (place + 1 < count)
            memmove(pairs + place, pairs + place + 1, (count - place - 1) * sizeof(*pairs));
        if (place)
            pairs[place - 1] = find_merge(core, parts[place - 1], parts[place]);
        if (place + 1 < count)
            pairs[place] = find_merge(core, parts[place], parts[place + 1]);
    }
    *ids = parts;
    if (length <= MEMO_TEXT && count <= MEMO_IDS) {
        memo->length = (uint8_t)length;
        memo->count = (uint8_t)count;
        memcpy(memo->text, parts_of_text, sizeof(parts_of_text));
        memcpy(memo->ids, parts, count * sizeof(*parts));
    }
    return count;
}

static size_t
encode_text_word(const Core *core, Scratch *s, const char *text, size_t length,
                 const int32_t **ids)
{
    Key key = key_of(text, length);
    return encode_word(core, s, text, length, key.hash, find_entry(core, text, key), ids);
}

/* ------------------------------------------------------------------ numbers */

enum { ROLE_START, ROLE_CONTINUE, ROLE_PREFIX, ROLE_SEPARATOR };

static int32_t
find_number(const Core *core, int32_t role, const char *text, size_t length)
{
    if (length > 16)
        return -1; /* no number token is as long */
    Key key = key_of(text, length);
    for (uint32_t at = (key.hash + (uint32_t)role) & core->numbers_mask;;
         at = (at + 1) & core->numbers_mask) {
        const NumberToken *token = &core->numbers[at];
        if (token->length == 0)
            return -1;
        if (token->head == key.head && token->tail == key.tail && token->length == length &&
            token->role == role)
            return token->position;
    }
}

static int
push_id(Scratch *s, int32_t id)
{
    if (RESERVE(s, ids, s->ids_size + 1))
        return NO_MEMORY;
    s->ids[s->ids_size++] = id;
    return OK;
}

/* HARD: the table has no such token, which the Python engine may complain of. */
static int
push_number(const Core *core, Scratch *s, int32_t role, const char *text, size_t length)
{
    int32_t position = find_number(core, role, text, length);
    return position < 0 ? HARD : push_id(s, core->number + position);
}

#define TRY(call)                                                                                  \
    do {                                                                                           \
        int status_ = (call);                                                                      \
        if (status_ != OK)                                                                         \
            return status_;                                                                        \
    } while (0)

static COLD int
push_prefix(const Core *core, Scratch *s, const char *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        size_t end = at + 1;
        if (text[at] == '<' || text[at] == '>' || text[at] == '~') {
            end += text[at] != '~' && end < length && text[end] == '=';
            end += end < length && text[end] == ' ';
        }
        TRY(push_number(core, s, ROLE_PREFIX, text + at, end - at));
        at = end;
    }
    return OK;
}

static COLD int
push_digits(const Core *core, Scratch *s, const char *text, size_t length)
{
    if (find_number(core, ROLE_START, text, length) >= 0)
        return push_number(core, s, ROLE_START, text, length);
    int begun = 0, point = 0;
    size_t at = 0;
    while (at < length) {
        if (text[at] == '.') {
            point = 1;
            at++;
            continue;
        }
        if (text[at] == ',') {
            TRY(push_number(core, s, ROLE_CONTINUE, text + at, 1));
            begun = 1;
            at++;
            continue;
        }
        size_t end = at;
        while (end < length && text[end] != '.' && text[end] != ',')
            end++;
        if (!begun) {
            size_t size = end - at < 3 ? end - at : 3;
            while (size > 1 && find_number(core, ROLE_START, text + at, size) < 0)
                size--;
            TRY(push_number(core, s, ROLE_START, text + at, size));
            begun = 1;
            at += size;
        }
        else if (point) {
            /* The point stands right before these digits. */
            size_t size = end - at < 2 ? end - at : 2;
            TRY(push_number(core, s, ROLE_CONTINUE, text + at - 1, size + 1));
            at += size;
            point = 0;
        }
        while (at < end) {
            size_t size = end - at < 2 ? end - at : 2;
            TRY(push_number(core, s, ROLE_CONTINUE, text + at, size));
            at += size;
        }
    }
    return OK;
}

static COLD int
push_value_number(const Core *core, Scratch *s, const char *text, size_t length)
{
    if (core->own_numbers) {
        size_t at = 0;
        int32_t role = ROLE_START;
        while (at < length) {
            size_t size = length - at;
            if (size > (size_t)core->longest_number)
                size = (size_t)core->longest_number;
            while (size && find_number(core, role, text + at, size) < 0)
                size--;
            if (size == 0)
                return HARD;
            TRY(push_number(core, s, role, text + at, size));
            at += size;
            role = ROLE_CONTINUE;
        }
        return OK;
    }
    if (find_number(core, ROLE_START, text, length) >= 0)
        return push_number(core, s, ROLE_START, text, length);
    size_t first = 0;
    while (first < length && !(CLASS(first) & IS_DIGIT))
        first++;
    size_t end = first;
    while (end < length && ((CLASS(end) & IS_DIGIT) || text[end] == '.' || text[end] == ','))
        end++;
    TRY(push_prefix(core, s, text, first));
    TRY(push_digits(core, s, text + first, end - first));
    if (end == length)
        return OK;
    if (find_number(core, ROLE_CONTINUE, text + end, length - end) >= 0)
        return push_number(core, s, ROLE_CONTINUE, text + end, length - end);
    size_t sign = end + (text[end] == '%');
    if (sign + 3 < length && memcmp(text + sign, " to ", 4) == 0)
        sign += 4;
    else {
        sign += sign < length && text[sign] == ' ';
        sign += sign < length && text[sign] == '-';
        sign += sign < length && text[sign] == ' ';
    }
    TRY(push_number(core, s, ROLE_SEPARATOR, text + end, sign - end));
    size_t second = sign;
    while (second < length && !(CLASS(second) & IS_DIGIT))
        second++;
    TRY(push_prefix(core, s, text + sign, second - sign));
    return push_digits(core, s, text + second, length - second);
}

/* ------------------------------------------------------------------ units */

static inline uint8_t
left_edge(char first)
{
    switch (first) {
    case '.': case ',': case ';': case ':': case '!': case '?': case ')': case ']': case '}':
    case '%': case '\'': case '+':
        return EDGE_TIGHT;
    case '-': case '/':
        return EDGE_HYPHEN;
    }
    return EDGE_PLAIN;
}

static inline uint8_t
right_edge(const Core *core, const char *text, size_t length, int spaced)
{
    char last = text[length - 1];
    if ((CLASS(length - 1) & IS_ALNUM) || last == ')' || last == '\'' || last == '%')
        return EDGE_WORD;
    if (last == '(' || last == '[' || last == '{')
        return EDGE_OPEN;
    if (last == '-' || last == '/') {
        if (!spaced)
            return EDGE_OPEN;
        for (size_t at = 0; at < length; at++)
            if (text[at] != '-' && text[at] != '/')
                return EDGE_OPEN;
        return EDGE_PLAIN;
    }
    return EDGE_PLAIN;
}

/* Where the part ends that begins at a piece; below 0 is an error. */
static inline int
part_end(const Core *core, Scratch *s, size_t at, size_t *end)
{
    Match ignored;
    int word = s->pieces[at++].word;
    if (!word)
        while (!s->pieces[at].spaced && !s->pieces[at].word) {
            int found = longest(core, s, at, &ignored);
            if (found < 0)
                return NO_MEMORY;
            if (found)
                break;
            at++;
        }
    *end = at;
    return OK;
}

/* The end of the BPE word at a piece that starts no match. */
static int
word_end(const Core *core, Scratch *s, size_t at, int spaced, size_t *end)
{
    const Piece *pieces = s->pieces;
    const char *text = s->norm;
    const int32_t *ids;
    Match ignored;
    TRY(part_end(core, s, at, end));
    if (pieces[*end].spaced || !core->joins_parts)
        return OK;
    size_t begin = pieces[at].start, behind = *end, best = *end;
    size_t length = pieces[behind - 1].end - begin;
    if (length > LONGEST_WORD)
        return HARD;
    size_t tokens = encode_text_word(core, s, text + begin, length, &ids);
    uint8_t right = right_edge(core, text + begin, length, spaced);
    while (behind - at < LONGEST_RUN && !pieces[behind].spaced) {
        int found = longest(core, s, behind, &ignored);
        if (found < 0)
            return NO_MEMORY;
        if (found)
            break;
        size_t start = behind;
        TRY(part_end(core, s, start, &behind));
        const char *part = text + pieces[start].start;
        size_t size = pieces[behind - 1].end - pieces[start].start;
        length = pieces[behind - 1].end - begin;
        if (length > LONGEST_WORD)
            return HARD;
        tokens += encode_text_word(core, s, part, size, &ids);
        tokens += EXPECTS_SPACE[right][left_edge(part[0])];
        right = right_edge(core, part, size, 0);
        if (encode_text_word(core, s, text + begin, length, &ids) < tokens)
            best = behind;
    }
    *end = best;
    return OK;
}

static inline int
push_span(Scratch *s, uint32_t start, uint32_t end)
{
    if (RESERVE(s, spans, s->spans_size + 1))
        return NO_MEMORY;
    s->spans[s->spans_size++] = SPAN(start, end);
    return OK;
}

/* The span of normalized text, without a space at its ends; the text may be one space. */
static inline int
push_text_span(Scratch *s, size_t begin, size_t end)
{
    begin += s->norm[begin] == ' ';
    end -= s->norm[end - 1] == ' ';
    uint32_t start = s->origin[begin];
    return push_span(s, start, begin >= end ? start : s->origin[end - 1] + 1u);
}

/* Ids of a phrase or bare value, and their spans. */
static int
push_match(const Core *core, Scratch *s, const Match *match, uint32_t start, uint8_t *edge,
           size_t *behind)
{
    size_t first_id = s->ids_size;
    if (match->phrase != BARE_VALUE) {
        TRY(push_id(s, core->phrase + match->phrase));
        TRY(push_span(s, start, start)); /* the end is filled in by the caller */
    }
    int32_t chain[64];
    int32_t count = match->num_values, value = match->values;
    if (count > 64)
        return HARD;
    for (int32_t turn = count - 1; turn >= 0; turn--) {
        chain[turn] = value;
        value = s->values[value].parent;
    }
    for (int32_t turn = 0; turn < count; turn++) {
        const Value *one = &s->values[chain[turn]];
        size_t low = s->pieces[one->first].start, high = s->pieces[one->last - 1].end;
        if (one->type) {
            TRY(push_id(s, one->id));
            TRY(push_text_span(s, low, high));
            continue;
        }
        size_t place = s->ids_size;
        TRY(push_value_number(core, s, s->norm + low, high - low));
        for (; place < s->ids_size; place++) {
            size_t next = low + (size_t)core->number_lengths[s->ids[place] - core->number];
            if (next > high)
                next = high;
            if (next <= low)
                return HARD;
            TRY(push_text_span(s, low, next));
            low = next;
        }
    }
    *edge = match->phrase == BARE_VALUE ? EDGE_WORD : core->phrase_right[match->phrase];
    *behind = (size_t)match->end;
    const Piece *next = &s->pieces[match->end];
    if (!next->spaced && next->end - next->start == 1 && s->ids[first_id] >= core->severity) {
        int8_t turn = core->closing[(uint8_t)s->norm[next->start] & 127];
        if (turn) {
            s->ids[first_id] += turn * core->num_closable;
            *edge = right_edge(core, s->norm + next->start, 1, 0);
            *behind += 1;
        }
    }
    return OK;
}

/* The unit of a BPE word of `length` characters. */
static int
push_word(const Core *core, Scratch *s, size_t begin, size_t length, const int32_t *ids, size_t count)
{
    if (RESERVE(s, ids, s->ids_size + count))
        return NO_MEMORY;
    memcpy(s->ids + s->ids_size, ids, count * sizeof(*ids));
    s->ids_size += count;
    size_t low = 0; /* in halves of a byte */
    for (size_t turn = 0; turn < count; turn++) {
        size_t high = low + core->halves[ids[turn]];
        size_t from = (high > low ? low : low ? low - 1 : 0) / 2;
        size_t to = high ? (high - 1) / 2 : 0;
        if (from >= length || to >= length)
            return HARD;
        TRY(push_span(s, s->origin[begin + from], s->origin[begin + to] + 1u));
        low = high;
    }
    return OK;
}

/* Encode the stretch that lies normalized in the scratch. */
static int
encode_stretch(const Core *core, Scratch *s, int first)
{
    TRY(split_stretch(core, s, first));
    size_t at = 0, size = s->pieces_size, ids_before = s->ids_size;
    uint8_t right = first ? EDGE_NONE : EDGE_PLAIN;
    while (at < size) {
        const Piece *piece = &s->pieces[at];
        const Entry *entry = piece->entry;
        int spaced = piece->spaced, found = 0;
        size_t begin = piece->start, behind;
        Match match;
        uint8_t left, edge;
        if (piece->number || (entry != NULL && (entry->root || entry->types))) {
            found = longest(core, s, at, &match);
            if (found < 0)
                return NO_MEMORY;
        }
        if (found)
            left = match.phrase == BARE_VALUE ? EDGE_PLAIN : core->phrase_left[match.phrase];
        else
            left = left_edge(s->norm[begin]);
        uint32_t start = s->origin[begin];
        if (right != EDGE_NONE && EXPECTS_SPACE[right][left] != spaced) {
            TRY(push_id(s, spaced ? core->space : core->join));
            TRY(push_span(s, start, start));
        }
        if (found) {
            size_t first_span = s->spans_size;
            TRY(push_match(core, s, &match, start, &edge, &behind));
            /* The whole unit is the span of a phrase, and of a value with what closes it. */
            if (match.phrase != BARE_VALUE || behind != (size_t)match.end)
                s->spans[first_span] = SPAN(start, s->origin[s->pieces[behind - 1].end - 1] + 1u);
        }
        else if (piece->word && piece[1].spaced && entry != NULL && entry->whole >= 0) {
            /* Most words: one token, and no other character beside it. */
            behind = at + 1;
            edge = EDGE_WORD;
            TRY(push_id(s, entry->whole));
            TRY(push_span(s, start, s->origin[piece->end - 1] + 1u));
        }
        else {
            TRY(word_end(core, s, at, spaced || right == EDGE_NONE, &behind));
            const char *word = s->norm + begin;
            size_t length = s->pieces[behind - 1].end - begin, count;
            const int32_t *ids;
            if (length > LONGEST_WORD)
                return HARD;
            if (behind == at + 1)
                count = encode_word(core, s, word, length, piece->hash, entry, &ids);
            else
                count = encode_text_word(core, s, word, length, &ids);
            edge = right_edge(core, word, length, spaced || right == EDGE_NONE);
            TRY(push_word(core, s, begin, length, ids, count));
        }
        if (RESERVE(s, units, s->units_size + 1))
            return NO_MEMORY;
        s->units[s->units_size++] =
            (UnitEnd){(int32_t)(s->ids_size - ids_before), (int32_t)behind};
        right = edge;
        at = behind;
    }
    return OK;
}

/* ------------------------------------------------------------------ a text */

typedef struct {
    int kind, ascii;
    const void *data;
    Py_ssize_t size;
} Text;

/* Where `normalize_stretch` would come to in ASCII text, found without normalizing. */
static Py_ssize_t
stretch_end(const Core *core, const char *text, Py_ssize_t size, Py_ssize_t place)
{
    while (place < size) {
        const char *stop = memchr(text + place, '.', (size_t)(size - place));
        if (stop == NULL)
            return size;
        Py_ssize_t next = place = stop - text + 1;
        while (next < size && FOLD[(uint8_t)text[next]] == FOLD_SPACE)
            next++;
        if (next == size)
            return size;
        if (next == place)
            continue;
        uint8_t kinds = core->classes[FOLD[(uint8_t)text[next]]];
        if (!(kinds & (IS_CLOSER | IS_STOP)) ||
            ((kinds & IS_STOP) && next + 1 < size &&
             (core->classes[(uint8_t)text[next + 1]] & IS_DIGIT)))
            return next;
    }
    return size;
}

static inline uint32_t
hash_stretch(const char *text, size_t length, int first)
{
    uint64_t hash = (2 * length + (uint64_t)first + 1) * 0x9E3779B97F4A7C15ULL, word;
    for (; length >= 8; text += 8, length -= 8) {
        memcpy(&word, text, 8);
        hash = (hash ^ word) * 0xD6E8FEB86659FD93ULL;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, text, length);
    hash = (hash ^ word) * 0xD6E8FEB86659FD93ULL;
    return (uint32_t)(hash >> 32) | 1; /* never 0, which stands for nothing known */
}

/* The numbers that stand before what is kept of a stretch. */
static inline uint32_t
kept_head(size_t length, int first)
{
    return (uint32_t)length << 1 | (uint32_t)first;
}

static int
push_block(Scratch *s, Py_ssize_t begin, size_t ids, size_t units, int32_t hard)
{
    if (RESERVE(s, blocks, s->blocks_size + 1))
        return NO_MEMORY;
    s->blocks[s->blocks_size++] = (Block){(int32_t)begin, (int32_t)ids, (int32_t)units, hard};
    return OK;
}

/* Put out what is kept of a stretch that begins at a place of its text. */
static int
repeat_known(Scratch *s, const uint32_t *kept, size_t length, Py_ssize_t begin)
{
    size_t num_ids = kept[1], num_units = kept[2];
    if (RESERVE(s, ids, s->ids_size + num_ids) || RESERVE(s, spans, s->spans_size + num_ids) ||
        RESERVE(s, units, s->units_size + num_units) || push_block(s, begin, num_ids, num_units, -1))
        return NO_MEMORY;
    kept += KEPT_HEAD + (length + 3) / 4;
    memcpy(s->ids + s->ids_size, kept, num_ids * sizeof(*s->ids));
    s->ids_size += num_ids;
    kept += num_ids;
    memcpy(s->spans + s->spans_size, kept, num_ids * sizeof(*s->spans));
    s->spans_size += num_ids;
    kept += num_ids;
    memcpy(s->units + s->units_size, kept, num_units * sizeof(*s->units));
    s->units_size += num_units;
    return OK;
}

/* Keep what came out of a stretch; `ids` and `units` were there before. */
static int
keep_known(Scratch *s, Known *known, const char *text, size_t length, int first, size_t ids,
           size_t units)
{
    size_t num_ids = s->ids_size - ids, num_units = s->units_size - units;
    size_t words = (length + 3) / 4, need = KEPT_HEAD + words + 2 * num_ids + 2 * num_units;
    if (need > KNOWN_ROOM)
        return OK;
    if (s->kept_size + need > KNOWN_ROOM) { /* begin anew: a stream shall not fill the memory */
        uint32_t tag = known->tag;
        memset(s->known, 0, sizeof(s->known));
        known->tag = tag;
        s->kept_size = 0;
    }
    if (s->kept_size == 0)
        s->kept_size = 1; /* place 0 stands for none */
    if (RESERVE(s, kept, s->kept_size + need))
        return NO_MEMORY;
    known->place = (uint32_t)s->kept_size;
    uint32_t *to = s->kept + s->kept_size;
    s->kept_size += need;
    to[0] = kept_head(length, first);
    to[1] = (uint32_t)num_ids;
    to[2] = (uint32_t)num_units;
    to += KEPT_HEAD;
    memcpy(to, text, length);
    to += words;
    memcpy(to, s->ids + ids, num_ids * sizeof(*s->ids));
    to += num_ids;
    memcpy(to, s->spans + ids, num_ids * sizeof(*s->spans));
    to += num_ids;
    memcpy(to, s->units + units, num_units * sizeof(*s->units));
    return OK;
}

/* The row's first place, for a stretch: with what is known of it, or new. */
static inline Known *
find_known(Scratch *s, const char *text, size_t length, int first, int *new)
{
    uint32_t tag = hash_stretch(text, length, first);
    Known *row = s->known[tag >> (32 - KNOWN_BITS)], found = {tag, 0};
    int at = 0;
    *new = 1;
    for (; at < KNOWN_WAYS - 1; at++)
        if (row[at].tag == tag)
            break;
    if (row[at].tag == tag) {
        const uint32_t *kept = row[at].place ? s->kept + row[at].place : NULL;
        if (kept == NULL)
            *new = 0;
        else if (kept[0] == kept_head(length, first) &&
                 memcmp(kept + KEPT_HEAD, text, length) == 0) {
            *new = 0;
            found = row[at];
        }
    }
    for (; at > 0; at--)
        row[at] = row[at - 1];
    row[0] = found;
    return row;
}

static COLD int
normalize_wide(const Core *core, Scratch *s, const Text *text, Py_ssize_t *place)
{
    return normalize_stretch(core, s, text->kind, text->data, text->size, place);
}

static int
normalize_text(const Core *core, Scratch *s, const Text *text, Py_ssize_t *place)
{
    if (text->kind == 1)
        return normalize_stretch(core, s, 1, text->data, text->size, place);
    return normalize_wide(core, s, text, place);
}

static Py_ssize_t
skip_space(const Text *text)
{
    Py_ssize_t place = 0;
    while (place < text->size &&
           fold_character(read_character(text->kind, text->data, place)) == FOLD_SPACE)
        place++;
    return place;
}

/* What the Python engine makes of text[begin:end]; its trace goes into the list, which is made where
 * it is needed first. Needs the GIL; -2: a Python error is set. */
static COLD int
encode_hard(Core *core, Scratch *s, PyObject *string, PyObject **traces, Py_ssize_t begin,
            Py_ssize_t end)
{
    int status = -2;
    if (*traces == NULL && (*traces = PyList_New(0)) == NULL)
        return -2;
    PyObject *stretch = PyUnicode_Substring(string, begin, end);
    if (stretch == NULL)
        return -2;
    PyObject *made = PyObject_CallFunction(core->encode_hard, "Oi", stretch, begin > 0);
    Py_DECREF(stretch);
    if (made == NULL)
        return -2;
    PyObject *trace, *ids, *unit_ends, *piece_ends;
    if (!PyArg_ParseTuple(made, "OO!O!O!", &trace, &PyList_Type, &ids, &PyList_Type, &unit_ends,
                          &PyList_Type, &piece_ends) ||
        PyList_Append(*traces, trace) < 0)
        goto done;
    Py_ssize_t num_units = PyList_GET_SIZE(unit_ends), num_ids = PyList_GET_SIZE(ids);
    if (PyList_GET_SIZE(piece_ends) != num_units) {
        PyErr_SetString(PyExc_SystemError, "the two lists of ends differ in length");
        goto done;
    }
    for (Py_ssize_t at = 0; at < num_ids; at++) {
        long id = PyLong_AsLong(PyList_GET_ITEM(ids, at));
        if (id < 0 || id >= core->vocab_size) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_SystemError, "an id is out of range");
            goto done;
        }
        if (push_id(s, (int32_t)id) || push_span(s, 0, 0)) {
            PyErr_NoMemory();
            goto done;
        }
    }
    long last_id = 0, last_piece = 0;
    for (Py_ssize_t at = 0; at < num_units; at++) {
        long id_end = PyLong_AsLong(PyList_GET_ITEM(unit_ends, at));
        long piece_end = PyLong_AsLong(PyList_GET_ITEM(piece_ends, at));
        if (PyErr_Occurred())
            goto done;
        if (id_end <= last_id || id_end > num_ids || piece_end <= last_piece ||
            piece_end > INT32_MAX / 4) {
            PyErr_SetString(PyExc_SystemError, "the end of a unit is out of range");
            goto done;
        }
        if (RESERVE(s, units, s->units_size + 1)) {
            PyErr_NoMemory();
            goto done;
        }
        s->units[s->units_size++] = (UnitEnd){(int32_t)id_end, (int32_t)piece_end};
        last_id = id_end;
        last_piece = piece_end;
    }
    if (last_id != num_ids) {
        PyErr_SetString(PyExc_SystemError, "an id belongs to no unit");
        goto done;
    }
    if (push_block(s, begin, (size_t)num_ids, (size_t)num_units,
                   (int32_t)PyList_GET_SIZE(*traces) - 1)) {
        PyErr_NoMemory();
        goto done;
    }
    status = OK;
done:
    Py_DECREF(made);
    return status;
}

/* Encode a text, BOS and EOS left out. Without `string` and `traces` there is no GIL, and a stretch
 * for the Python engine ends it: HARD. */
static int
encode_text(Core *core, Scratch *s, const Text *text, PyObject *string, PyObject **traces)
{
    s->ids_size = s->spans_size = s->units_size = s->blocks_size = 0;
    Py_ssize_t place = skip_space(text);
    int first = 1;
    while (place < text->size) {
        Py_ssize_t begin = place;
        size_t ids = s->ids_size, units = s->units_size, length = 0;
        Known *known = NULL;
        if (text->ascii && core->sentences_part) {
            const char *data = (const char *)text->data + place;
            length = (size_t)(stretch_end(core, text->data, text->size, place) - place);
            if (length <= KNOWN_TEXT) {
                int new;
                known = find_known(s, data, length, first, &new);
                if (known->place) {
                    if (repeat_known(s, s->kept + known->place, length, place) != OK)
                        return NO_MEMORY;
                    place += (Py_ssize_t)length;
                    first = 0;
                    continue;
                }
                if (new)
                    known = NULL; /* kept at its second sight */
            }
        }
        int status = normalize_text(core, s, text, &place);
        if (status == OK)
            status = encode_stretch(core, s, first);
        if (status == OK)
            status = push_block(s, begin, s->ids_size - ids, s->units_size - units, -1);
        if (status == OK && known != NULL)
            status = keep_known(s, known, (const char *)text->data + begin, length, first, ids, units);
        if (status == HARD && string != NULL) {
            s->ids_size = s->spans_size = ids;
            s->units_size = units;
            status = encode_hard(core, s, string, traces, first ? 0 : begin, place);
        }
        if (status != OK)
            return status;
        if (s->ids_size > INT32_MAX / 4)
            return NO_MEMORY;
        first = 0;
    }
    return OK;
}

/* ------------------------------------------------------------------ scratches */

static Scratch *
take_scratch(Core *core)
{
    Scratch *s = core->pool;
    if (s != NULL) {
        core->pool = s->next;
        return s;
    }
    return calloc(1, sizeof(Scratch));
}

static void
free_scratch(Scratch *s)
{
    free(s->norm);
    free(s->origin);
    free(s->pieces);
    free(s->values);
    free(s->ways);
    free(s->ids);
    free(s->spans);
    free(s->units);
    free(s->blocks);
    free(s->kept);
    free(s);
}

static void
give_scratch(Core *core, Scratch *s)
{
    /* A long text shall not hold its memory for ever. */
    if (s->norm_room > (1 << 22) || s->ids_room > (1 << 22)) {
        free_scratch(s);
        return;
    }
    s->next = core->pool;
    core->pool = s;
}

/* ------------------------------------------------------------------ Trace */

typedef struct {
    PyObject_HEAD
    Core *core;
    PyObject *text, *traces; /* the traces of the stretches for the Python engine, or NULL */
    int32_t num_ids, num_units, num_blocks;
    int32_t *ids;
    Span *spans;
    UnitEnd *units;
    Block *blocks;
    char data[];
} Trace;

static PyTypeObject *TraceType;

static PyObject *
integer(Core *core, int32_t number)
{
    if (number < 0 || number >= core->vocab_size)
        return PyLong_FromLong(number);
    PyObject *known = core->integers[number];
    if (known == NULL) {
        known = PyLong_FromLong(number);
        if (known == NULL)
            return NULL;
        core->integers[number] = known;
    }
    Py_INCREF(known);
    return known;
}

/* The trace of what lies in the scratch. */
static PyObject *
make_trace(Core *core, const Scratch *s, PyObject *string, PyObject *traces)
{
    size_t ids = s->ids_size, units = s->units_size, blocks = s->blocks_size;
    size_t bytes = ids * (sizeof(int32_t) + sizeof(Span)) + units * sizeof(UnitEnd) +
                   blocks * sizeof(Block);
    Trace *trace = PyObject_Malloc(offsetof(Trace, data) + bytes);
    if (trace == NULL)
        return PyErr_NoMemory();
    PyObject_Init((PyObject *)trace, TraceType);
    trace->core = (Core *)Py_NewRef((PyObject *)core);
    trace->text = Py_NewRef(string);
    trace->traces = Py_XNewRef(traces);
    trace->num_ids = (int32_t)ids;
    trace->num_units = (int32_t)units;
    trace->num_blocks = (int32_t)blocks;
    trace->blocks = (Block *)(void *)trace->data;
    trace->units = (UnitEnd *)(trace->blocks + blocks);
    trace->ids = (int32_t *)(trace->units + units);
    trace->spans = (Span *)(trace->ids + ids);
    if (blocks) {
        memcpy(trace->blocks, s->blocks, blocks * sizeof(Block));
        memcpy(trace->units, s->units, units * sizeof(UnitEnd));
        memcpy(trace->ids, s->ids, ids * sizeof(int32_t));
        memcpy(trace->spans, s->spans, ids * sizeof(Span));
    }
    return (PyObject *)trace;
}

static void
trace_dealloc(PyObject *self)
{
    Trace *trace = (Trace *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF((PyObject *)trace->core);
    Py_XDECREF(trace->text);
    Py_XDECREF(trace->traces);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *
trace_ids(PyObject *self, void *closure)
{
    (void)closure;
    Trace *trace = (Trace *)self;
    PyObject *list = PyList_New((Py_ssize_t)trace->num_ids + 2);
    if (list == NULL)
        return NULL;
    for (int32_t at = -1; at <= trace->num_ids; at++) {
        int32_t id = at < 0 ? trace->core->bos
                            : at == trace->num_ids ? trace->core->eos : trace->ids[at];
        PyObject *number = integer(trace->core, id);
        if (number == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, at + 1, number);
    }
    return list;
}

static COLD PyObject *
trace_ends(PyObject *self, void *closure)
{
    (void)closure;
    Trace *trace = (Trace *)self;
    PyObject *of_ids = PyList_New(trace->num_units), *of_pieces = PyList_New(trace->num_units);
    if (of_ids == NULL || of_pieces == NULL)
        goto failed;
    int32_t ids = 1, pieces = 0, unit = 0;
    for (int32_t turn = 0; turn < trace->num_blocks; turn++) {
        const Block *block = &trace->blocks[turn];
        for (int32_t end = unit + block->units; unit < end; unit++) {
            PyObject *id_end = integer(trace->core, ids + trace->units[unit].ids);
            PyObject *piece_end = integer(trace->core, pieces + trace->units[unit].pieces);
            if (id_end == NULL || piece_end == NULL) {
                Py_XDECREF(id_end);
                Py_XDECREF(piece_end);
                goto failed;
            }
            PyList_SET_ITEM(of_ids, unit, id_end);
            PyList_SET_ITEM(of_pieces, unit, piece_end);
        }
        ids += block->ids;
        pieces += block->units ? trace->units[unit - 1].pieces : 0;
    }
    return Py_BuildValue("(NN)", of_ids, of_pieces);
failed:
    Py_XDECREF(of_ids);
    Py_XDECREF(of_pieces);
    return NULL;
}

static COLD PyObject *
trace_units(PyObject *self, void *closure)
{
    (void)closure;
    Trace *trace = (Trace *)self;
    PyObject *list = PyList_New((Py_ssize_t)trace->num_ids + 2);
    if (list == NULL)
        return NULL;
    PyList_SET_ITEM(list, 0, Py_NewRef(Py_None));
    PyList_SET_ITEM(list, trace->num_ids + 1, Py_NewRef(Py_None));
    int32_t id = 1, unit = 0;
    for (int32_t turn = 0; turn < trace->num_blocks; turn++) {
        const Block *block = &trace->blocks[turn];
        int32_t before = id;
        for (int32_t end = unit + block->units; unit < end; unit++)
            for (; id < before + trace->units[unit].ids; id++) {
                PyObject *number = integer(trace->core, unit);
                if (number == NULL) {
                    Py_DECREF(list);
                    return NULL;
                }
                PyList_SET_ITEM(list, id, number);
            }
    }
    return list;
}

static PyObject *
span(Core *core, int32_t start, int32_t end)
{
    PyObject *pair = PyTuple_New(2);
    PyObject *low = integer(core, start), *high = integer(core, end);
    if (pair == NULL || low == NULL || high == NULL) {
        Py_XDECREF(pair);
        Py_XDECREF(low);
        Py_XDECREF(high);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, low);
    PyTuple_SET_ITEM(pair, 1, high);
    PyObject_GC_UnTrack(pair); /* two numbers make no circle: the collector need not walk them */
    return pair;
}

/* Put the spans that the Python engine finds for a stretch into a list, from `low` on. */
static COLD int
fill_hard(Trace *trace, const Block *block, PyObject *list, Py_ssize_t low, int of_units)
{
    if (trace->traces == NULL || block->hard >= PyList_GET_SIZE(trace->traces)) {
        PyErr_SetString(PyExc_SystemError, "a stretch has no trace");
        return -1;
    }
    PyObject *found =
        PyObject_CallFunction(trace->core->span_hard, "Oii",
                              PyList_GET_ITEM(trace->traces, block->hard), block->begin, of_units);
    if (found == NULL)
        return -1;
    Py_ssize_t count = of_units ? block->units : block->ids;
    if (!PyList_Check(found) || PyList_GET_SIZE(found) != count) {
        Py_DECREF(found);
        PyErr_SetString(PyExc_SystemError, "the spans of a stretch are not as many as its ids");
        return -1;
    }
    for (Py_ssize_t at = 0; at < count; at++)
        PyList_SET_ITEM(list, low + at, Py_NewRef(PyList_GET_ITEM(found, at)));
    Py_DECREF(found);
    return 0;
}

/* The span of the unit of the ids from `first` to `last`. A mark has an empty span at its start; the
 * span of a phrase, or of a value with what closes it, is on its first id. */
static inline Span
unit_span(const Trace *trace, int32_t first, int32_t last)
{
    int32_t start = SPAN_START(trace->spans[first]);
    first += first < last &&
             (trace->ids[first] == trace->core->join || trace->ids[first] == trace->core->space);
    int32_t one = SPAN_END(trace->spans[first]), other = SPAN_END(trace->spans[last]);
    return SPAN(start, one > other ? one : other);
}

static PyObject *
trace_unit_spans(PyObject *self, void *closure)
{
    (void)closure;
    Trace *trace = (Trace *)self;
    PyObject *list = PyList_New(trace->num_units);
    if (list == NULL)
        return NULL;
    int32_t before = 0, unit = 0;
    for (int32_t turn = 0; turn < trace->num_blocks; turn++) {
        const Block *block = &trace->blocks[turn];
        int32_t first = before, end = unit + block->units;
        if (block->hard >= 0) {
            if (fill_hard(trace, block, list, unit, 1)) {
                Py_DECREF(list);
                return NULL;
            }
            unit = end;
        }
        for (; unit < end; unit++) {
            int32_t behind = before + trace->units[unit].ids;
            Span found = unit_span(trace, first, behind - 1);
            PyObject *pair = span(trace->core, block->begin + SPAN_START(found),
                                  block->begin + SPAN_END(found));
            if (pair == NULL) {
                Py_DECREF(list);
                return NULL;
            }
            PyList_SET_ITEM(list, unit, pair);
            first = behind;
        }
        before += block->ids;
    }
    return list;
}

static PyObject *
trace_spans(PyObject *self, void *closure)
{
    (void)closure;
    Trace *trace = (Trace *)self;
    PyObject *list = PyList_New((Py_ssize_t)trace->num_ids + 2);
    if (list == NULL)
        return NULL;
    PyList_SET_ITEM(list, 0, Py_NewRef(Py_None));
    PyList_SET_ITEM(list, trace->num_ids + 1, Py_NewRef(Py_None));
    int32_t id = 0;
    for (int32_t turn = 0; turn < trace->num_blocks; turn++) {
        const Block *block = &trace->blocks[turn];
        int32_t end = id + block->ids;
        if (block->hard >= 0) {
            if (fill_hard(trace, block, list, id + 1, 0)) {
                Py_DECREF(list);
                return NULL;
            }
            id = end;
        }
        for (; id < end; id++) {
            PyObject *pair = span(trace->core, block->begin + SPAN_START(trace->spans[id]),
                                  block->begin + SPAN_END(trace->spans[id]));
            if (pair == NULL) {
                Py_DECREF(list);
                return NULL;
            }
            PyList_SET_ITEM(list, id + 1, pair);
        }
    }
    return list;
}

static PyObject *
trace_text(PyObject *self, void *closure)
{
    (void)closure;
    return Py_NewRef(((Trace *)self)->text);
}

/* ------------------------------------------------------------------ sentences */

/* `echotok.sentences` says where sentences end. Here each stop and line end is looked at; those that
 * hang on an abbreviation, a list or a wrapped line are asked of its functions. */

typedef struct {
    const Core *core;
    PyObject *string;
    int kind;
    const void *data;
    Py_ssize_t size;
} Report;

/* Never inlined: it is asked for at many places, and seldom beside the search for stops. */
static NOINLINE Py_UCS4
character_at(const Report *report, Py_ssize_t at)
{
    return PyUnicode_READ(report->kind, report->data, at);
}
#define CHARACTER(at) character_at(report, (at))

static inline int
is_space(Py_UCS4 character)
{
    return Py_UNICODE_ISSPACE(character);
}

static inline int
is_blank(Py_UCS4 character) /* white space within a line */
{
    return character != '\n' && is_space(character);
}

static inline int
is_word_character(Py_UCS4 character)
{
    return character == '_' || Py_UNICODE_ISALNUM(character);
}

static inline int
is_letter(Py_UCS4 character)
{
    return Py_UNICODE_ISALNUM(character) && !Py_UNICODE_ISDECIMAL(character);
}

static inline int
is_lower_ascii(Py_UCS4 character)
{
    return character >= 'a' && character <= 'z';
}

static inline int
is_upper_ascii(Py_UCS4 character)
{
    return character >= 'A' && character <= 'Z';
}

static COLD Py_ssize_t
skip_closers(const Report *report, Py_ssize_t at)
{
    for (; at < report->size; at++) {
        Py_UCS4 one = CHARACTER(at);
        if (one != ')' && one != ']' && one != '"' && one != '\'' && one != 0x201d && one != 0x2019)
            break;
    }
    return at;
}

static COLD Py_ssize_t
skip_blanks(const Report *report, Py_ssize_t at)
{
    while (at < report->size && is_blank(CHARACTER(at)))
        at++;
    return at;
}

/* The end of the stop at a place, or 0 where none is. */
static COLD Py_ssize_t
stop_end(const Report *report, Py_ssize_t at)
{
    Py_UCS4 stop = CHARACTER(at);
    Py_ssize_t size = report->size, next = at + 1;
    if (stop == '\n')
        return skip_blanks(report, next);
    if (stop >= 128)
        return skip_closers(report, next);
    if (stop == '?') {
        if (at == 0 || is_space(CHARACTER(at - 1)))
            return 0;
        Py_ssize_t word = skip_blanks(report, next), end = word;
        while (end < size && end - word < 11 && is_word_character(CHARACTER(end)))
            end++;
        if (end > word && end - word < 11) {
            Py_ssize_t behind = skip_blanks(report, end);
            if (behind == size || CHARACTER(behind) == '.' || CHARACTER(behind) == '\n')
                return 0; /* a doubt about the last word: "? thrombus." */
        }
        return skip_closers(report, next);
    }
    while (next < size && (CHARACTER(next) == '.' || CHARACTER(next) == '!'))
        next++;
    next = skip_closers(report, next);
    if (next == size || is_space(CHARACTER(next)))
        return next;
    next = at + 1;
    if (stop != '.')
        return 0;
    Py_UCS4 first = CHARACTER(next), before = at ? CHARACTER(at - 1) : 0;
    if (is_upper_ascii(first)) {
        if (next + 1 < size && is_lower_ascii(CHARACTER(next + 1)))
            return next;
        if (at >= 3 && is_lower_ascii(before) && is_lower_ascii(CHARACTER(at - 2)) &&
            is_lower_ascii(CHARACTER(at - 3)))
            return next;
        return 0;
    }
    if (is_lower_ascii(before) || before == ')' || before == '%') {
        Py_ssize_t end = next;
        while (end < size && Py_UNICODE_ISDECIMAL(CHARACTER(end)))
            end++;
        if (end > next && end + 1 < size && (CHARACTER(end) == '.' || CHARACTER(end) == ')') &&
            is_space(CHARACTER(end + 1)))
            return next;
    }
    return 0;
}

/* A stop of Chinese or Japanese, which no space follows. */
static inline int
is_wide_stop(Py_UCS4 character)
{
    return character == 0x3002 || character == 0xff01 || character == 0xff1f;
}

static const uint8_t MAY_STOP[256] = {['.'] = 1, ['\n'] = 1, ['?'] = 1, ['!'] = 1};

static int
ask(PyObject *function, const Report *report, Py_ssize_t a, Py_ssize_t b, Py_ssize_t c)
{
    PyObject *answer = c < 0 ? PyObject_CallFunction(function, "Onn", report->string, a, b)
                             : PyObject_CallFunction(function, "Onnn", report->string, a, b, c);
    if (answer == NULL)
        return -1;
    int truth = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return truth;
}

/* Whether a word of the report is in a list, whatever its case; 1 too where only Python can say. */
static COLD int
in_words(const Report *report, const Words *words, Py_ssize_t begin, Py_ssize_t end)
{
    char word[16 + PADDING] = {0};
    if (end - begin > 16)
        return 0;
    for (Py_ssize_t at = begin; at < end; at++) {
        Py_UCS4 one = CHARACTER(at);
        if (one >= 128)
            return 1;
        word[at - begin] = (char)FOLD[one];
    }
    Key key = key_of(word, (size_t)(end - begin));
    for (uint32_t at = key.hash & ((1u << WORDS_BITS) - 1);; at = (at + 1) & ((1u << WORDS_BITS) - 1)) {
        if (words->rows[at][0] == key.head && words->rows[at][1] == key.tail)
            return 1;
        if (words->rows[at][0] == 0)
            return 0;
    }
}

/* Whether a month may begin at a place, as in "3. April 2020". */
static COLD int
may_be_month(const Report *report, Py_ssize_t at)
{
    while (at < report->size && CHARACTER(at) == ' ')
        at++;
    if (at == report->size)
        return 0;
    Py_UCS4 one = CHARACTER(at);
    return one >= 128 || (one != 0 && strchr("jfmasond", FOLD[one]) != NULL);
}

/* Whether the stop at `at` ends no sentence, as `is_inner` says; -1 is an error. */
static COLD int
stop_is_inner(const Report *report, Py_ssize_t start, Py_ssize_t at)
{
    int brief = at - start <= 16;
    Py_UCS4 last = at ? CHARACTER(at - 1) : 0;
    if (Py_UNICODE_ISDIGIT(last) && may_be_month(report, at + 1))
        return ask(report->core->is_inner, report, start, at, -1);
    if (!brief && ((last >= '0' && last <= '9') || last == '%' || last == ')' || last == ']'))
        return 0;
    Py_ssize_t head = brief ? start : at - 16, word = at;
    if (at > head && last == '\n')
        return ask(report->core->is_inner, report, start, at, -1);
    while (word > head && is_letter(CHARACTER(word - 1)))
        word--;
    if (word < at) {
        int dotted = word - 1 > head && CHARACTER(word - 1) == '.' && is_letter(CHARACTER(word - 2));
        if (dotted || at - word == 1 || in_words(report, &report->core->abbreviations, word, at))
            return ask(report->core->is_inner, report, start, at, -1);
    }
    if (!brief)
        return 0;
    /* Only the mark of a list is left, in a line that goes on. */
    Py_ssize_t follows = at + 1, end = at + 40 < report->size ? at + 40 : report->size;
    while (follows < end && (CHARACTER(follows) == ' ' || CHARACTER(follows) == '\t'))
        follows++;
    if (follows >= end || CHARACTER(follows) == '\n')
        return 0;
    while (head < at && is_space(CHARACTER(head)))
        head++;
    head += head < at && CHARACTER(head) == '(';
    if (head == at)
        return 0;
    int digits = at - head <= 3, numeral = at - head <= 4;
    for (Py_ssize_t place = head; place < at; place++) {
        Py_UCS4 one = CHARACTER(place);
        digits &= Py_UNICODE_ISDECIMAL(one) != 0;
        numeral &= one == 'i' || one == 'v' || one == 'x' || one == 'I' || one == 'V' || one == 'X';
    }
    return digits || numeral; /* a single letter was asked for as a word */
}

/* Whether the line that ends at `at` is wrapped, as `goes_on` says; -1 is an error. */
static COLD int
line_goes_on(const Report *report, Py_ssize_t start, Py_ssize_t at, Py_ssize_t behind)
{
    Py_ssize_t size = report->size, next = behind, end = at;
    Py_ssize_t most = behind + 80 < size ? behind + 80 : size;
    while (next < most && is_space(CHARACTER(next)))
        next++;
    if (next >= most || CHARACTER(behind) == '\n')
        return 0;
    Py_ssize_t line = at - 80 > start ? at - 80 : start;
    while (end > line && is_space(CHARACTER(end - 1)))
        end--;
    if (end > line) {
        Py_UCS4 last = CHARACTER(end - 1);
        if (last == '.' || last == '!' || last == '?' || last == ':' || last == ';')
            return 0;
        Py_ssize_t word = end;
        while (word > line && is_word_character(CHARACTER(word - 1)))
            word--;
        int dangles = last == ',' || last == '/' || last == '&' || last == '(' ||
                      last == '-' || (word < end && in_words(report, &report->core->dangling, word, end));
        Py_UCS4 first = CHARACTER(behind);
        int wrapped = (first >= 128 || is_lower_ascii(first)) && end - line >= 40;
        if (!dangles && !wrapped)
            return 0;
    }
    return ask(report->core->goes_on, report, start, at, behind);
}

/* Find the end of the sentence that begins at `*start`: 1 with the next one's start in `*start`, 0 at
 * the end of the text, -1 for an error. `*place` and `*line` are where the search and the line are. */
static int
next_sentence(const Report *report, Py_ssize_t *start, Py_ssize_t *place, Py_ssize_t *line)
{
    for (Py_ssize_t at = *place; at < report->size; at++) {
        if (report->kind == 1) {
            const uint8_t *text = report->data;
            while (at < report->size && !MAY_STOP[text[at]])
                at++;
            if (at == report->size)
                break;
        }
        Py_UCS4 one = CHARACTER(at);
        if (one != '.' && one != '\n' && one != '?' && one != '!' && !is_wide_stop(one))
            continue;
        Py_ssize_t behind = stop_end(report, at);
        if (!behind)
            continue;
        if (one == '\n') {
            Py_ssize_t low = *start > *line ? *start : *line;
            while (low < at && is_space(CHARACTER(low)))
                low++;
            int on = low < at ? line_goes_on(report, *line, at, behind) : 0;
            if (on < 0)
                return -1;
            *line = behind;
            if (on) {
                at = behind - 1;
                continue;
            }
        }
        else if (one == '.') {
            int inner = stop_is_inner(report, *start, at);
            if (inner < 0)
                return -1;
            if (inner) {
                at = behind - 1;
                continue;
            }
        }
        *start = *place = behind;
        return 1;
    }
    *place = report->size;
    return 0;
}

/* Whether a text has line ends other than \n. */
static COLD int
has_other_lines(const Report *report)
{
    if (report->kind == 1) {
        const uint8_t *text = report->data;
        size_t size = (size_t)report->size;
        return memchr(text, '\r', size) || memchr(text, 0x0b, size) || memchr(text, 0x0c, size) ||
               (!PyUnicode_IS_ASCII(report->string) && memchr(text, 0x85, size));
    }
    for (Py_ssize_t at = 0; at < report->size; at++) {
        Py_UCS4 one = CHARACTER(at);
        if (one == '\r' || one == 0x0b || one == 0x0c || one == 0x85 || one == 0x2028 || one == 0x2029)
            return 1;
    }
    return 0;
}

static void
read_report(Report *report, PyObject *string)
{
    report->string = string;
    report->kind = (int)PyUnicode_KIND(string);
    report->data = PyUnicode_DATA(string);
    report->size = PyUnicode_GET_LENGTH(string);
}

static COLD PyObject *
trace_sentences(PyObject *self, void *closure)
{
    (void)closure;
    Trace *trace = (Trace *)self;
    Core *core = trace->core;
    PyObject *list = PyList_New(trace->num_units), *string = Py_NewRef(trace->text);
    Report report = {.core = core};
    if (list == NULL)
        goto failed;
    read_report(&report, string);
    if (has_other_lines(&report)) {
        PyObject *other = PyObject_CallOneArg(core->unify_lines, string);
        if (other == NULL)
            goto failed;
        Py_SETREF(string, other);
        if (!PyUnicode_Check(string)) {
            PyErr_SetString(PyExc_SystemError, "the lines are no text");
            goto failed;
        }
        read_report(&report, string);
    }
    /* `start` is that of the sentence behind the one that a unit is in. */
    Py_ssize_t start = 0, place = 0, line = 0;
    int more = next_sentence(&report, &start, &place, &line);
    if (more < 0)
        goto failed;
    int32_t number = 0;
    int32_t before = 0, unit = 0;
    for (int32_t turn = 0; turn < trace->num_blocks; turn++) {
        const Block *block = &trace->blocks[turn];
        int32_t first = before, end = unit + block->units;
        PyObject *spans = NULL;
        if (block->hard >= 0) {
            spans = PyList_New(block->units);
            if (spans == NULL || fill_hard(trace, block, spans, 0, 1)) {
                Py_XDECREF(spans);
                goto failed;
            }
        }
        for (int32_t low = unit; unit < end; unit++) {
            Py_ssize_t begin;
            if (spans == NULL)
                begin = block->begin + SPAN_START(trace->spans[first]);
            else {
                PyObject *pair = PyList_GET_ITEM(spans, unit - low);
                begin = PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2
                            ? PyLong_AsSsize_t(PyTuple_GET_ITEM(pair, 0))
                            : 0;
            }
            int moved = 0;
            while (more > 0 && start <= begin) {
                moved = 1;
                more = next_sentence(&report, &start, &place, &line);
            }
            if (more < 0) {
                Py_XDECREF(spans);
                goto failed;
            }
            number += moved && unit > 0;
            PyObject *one = integer(core, number);
            if (one == NULL) {
                Py_XDECREF(spans);
                goto failed;
            }
            PyList_SET_ITEM(list, unit, one);
            first = before + trace->units[unit].ids;
        }
        Py_XDECREF(spans);
        before += block->ids;
    }
    Py_DECREF(string);
    return list;
failed:
    Py_XDECREF(list);
    Py_DECREF(string);
    return NULL;
}

static PyGetSetDef trace_getset[] = {
    {"text", trace_text, NULL, "The original text.", NULL},
    {"ids", trace_ids, NULL, "BOS, the ids of the text, EOS.", NULL},
    {"ends", trace_ends, NULL, "For each unit the index behind its last id, and last piece.", NULL},
    {"units", trace_units, NULL, "The number of each id's unit; None for BOS and EOS.", NULL},
    {"unit_spans", trace_unit_spans, NULL, "The span of each unit.", NULL},
    {"spans", trace_spans, NULL, "The span of each id; None for BOS and EOS.", NULL},
    {"sentences", trace_sentences, NULL, "The number of each unit's sentence, from 0.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot trace_slots[] = {
    {Py_tp_dealloc, trace_dealloc},
    {Py_tp_getset, trace_getset},
    {Py_tp_doc, "One pass over a text, as `echotok.engine.engine.Trace`."},
    {0, NULL},
};

static PyType_Spec trace_spec = {
    .name = "echotok.engine._core.Trace",
    .basicsize = sizeof(Trace),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = trace_slots,
};

/* ------------------------------------------------------------------ Core */

static int
as_text(PyObject *string, Text *text)
{
    if (!PyUnicode_Check(string)) {
        PyErr_SetString(PyExc_TypeError, "a report must be a str");
        return -1;
    }
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(string) < 0)
        return -1;
#endif
    text->kind = (int)PyUnicode_KIND(string);
    text->ascii = PyUnicode_IS_ASCII(string);
    text->data = PyUnicode_DATA(string);
    text->size = PyUnicode_GET_LENGTH(string);
    if (text->size > INT32_MAX / 8) {
        PyErr_SetString(PyExc_OverflowError, "the report is too long for the compiled core");
        return -1;
    }
    return 0;
}

static PyObject *
core_encode(PyObject *self, PyObject *string)
{
    Core *core = (Core *)self;
    Text text;
    if (as_text(string, &text) < 0)
        return NULL;
    Scratch *s = take_scratch(core);
    if (s == NULL)
        return PyErr_NoMemory();
    PyObject *traces = NULL, *trace = NULL;
    int status = encode_text(core, s, &text, string, &traces);
    if (status == OK)
        trace = make_trace(core, s, string, traces);
    else if (status != -2)
        PyErr_NoMemory();
    give_scratch(core, s);
    Py_XDECREF(traces);
    return trace;
}

/* For the Python engine, which encodes the stretches that are not ASCII. */
static PyObject *
core_encode_word(PyObject *self, PyObject *bytes)
{
    Core *core = (Core *)self;
    if (!PyBytes_Check(bytes)) {
        PyErr_SetString(PyExc_TypeError, "a word is given as bytes");
        return NULL;
    }
    size_t length = (size_t)PyBytes_GET_SIZE(bytes);
    if (length < 1 || length > LONGEST_WORD)
        Py_RETURN_NONE;
    Scratch *s = take_scratch(core);
    if (s == NULL)
        return PyErr_NoMemory();
    char word[LONGEST_WORD + PADDING] = {0};
    memcpy(word, PyBytes_AS_STRING(bytes), length);
    const int32_t *ids;
    size_t count = encode_text_word(core, s, word, length, &ids);
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t at = 0; tuple != NULL && at < count; at++) {
        PyObject *id = PyLong_FromLong(ids[at]);
        if (id == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)at, id);
    }
    give_scratch(core, s);
    return tuple;
}

/* One row of a batch as it comes out. */
typedef struct {
    size_t begin;
    int32_t size, dropped;
    uint8_t inside, hard;
} Row;

typedef struct {
    VECTOR(int32_t, flat);
} Flat;

/* Put the ids of a row, cut to the context length, behind those of the rows before it. */
static int
push_row(const Core *core, const Scratch *s, Flat *flat, Row *row, Py_ssize_t context_length)
{
    size_t keep = s->ids_size;
    row->dropped = 0;
    row->inside = 0;
    if (context_length && keep + 2 > (size_t)context_length) {
        size_t room = (size_t)context_length - 2, before = 0, units = 0, turn = 0;
        while (before + (size_t)s->blocks[turn].ids <= room) { /* all stretches are too much */
            before += (size_t)s->blocks[turn].ids;
            units += (size_t)s->blocks[turn++].units;
        }
        keep = before;
        for (; before + (size_t)s->units[units].ids <= room; units++)
            keep = before + (size_t)s->units[units].ids;
        row->inside = keep == 0;
        if (keep == 0)
            keep = room;
        row->dropped = (int32_t)(s->ids_size - keep);
    }
    if (RESERVE(flat, flat, flat->flat_size + keep + 2))
        return NO_MEMORY;
    row->begin = flat->flat_size;
    row->size = (int32_t)(keep + 2);
    int32_t *out = flat->flat + flat->flat_size;
    out[0] = core->bos;
    if (keep)
        memcpy(out + 1, s->ids, keep * sizeof(int32_t));
    out[keep + 1] = core->eos;
    flat->flat_size += keep + 2;
    return OK;
}

static PyObject *
core_encode_many(PyObject *self, PyObject *arguments)
{
    Core *core = (Core *)self;
    PyObject *list, *result = NULL;
    Py_ssize_t context_length;
    if (!PyArg_ParseTuple(arguments, "O!n", &PyTuple_Type, &list, &context_length))
        return NULL;
    if (context_length && context_length < 3) {
        PyErr_SetString(PyExc_ValueError, "context_length is below 3");
        return NULL;
    }
    size_t count = (size_t)PyTuple_GET_SIZE(list);
    Text *texts = PyMem_Calloc(count + 1, sizeof(Text));
    Row *rows = PyMem_Calloc(count + 1, sizeof(Row));
    Flat flat = {0};
    Scratch *s = take_scratch(core);
    if (texts == NULL || rows == NULL || s == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    for (size_t at = 0; at < count; at++)
        if (as_text(PyTuple_GET_ITEM(list, (Py_ssize_t)at), &texts[at]) < 0)
            goto done;
    int status = OK;
    Py_BEGIN_ALLOW_THREADS
    for (size_t at = 0; at < count && status == OK; at++) {
        status = encode_text(core, s, &texts[at], NULL, NULL);
        if (status == OK)
            status = push_row(core, s, &flat, &rows[at], context_length);
        else if (status == HARD) {
            rows[at].hard = 1;
            status = OK;
        }
    }
    Py_END_ALLOW_THREADS
    for (size_t at = 0; at < count && status == OK; at++) {
        if (!rows[at].hard)
            continue;
        PyObject *string = PyTuple_GET_ITEM(list, (Py_ssize_t)at), *traces = NULL;
        status = encode_text(core, s, &texts[at], string, &traces);
        Py_XDECREF(traces);
        if (status == OK)
            status = push_row(core, s, &flat, &rows[at], context_length);
    }
    if (status != OK) {
        if (status != -2)
            PyErr_NoMemory();
        goto done;
    }
    PyObject *ids = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(flat.flat_size * sizeof(int32_t)));
    PyObject *sizes = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(int32_t)));
    PyObject *dropped = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(int32_t)));
    PyObject *inside = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)count);
    if (ids != NULL && sizes != NULL && dropped != NULL && inside != NULL) {
        char *out = PyByteArray_AS_STRING(ids);
        for (size_t at = 0; at < count; at++) {
            size_t bytes = (size_t)rows[at].size * sizeof(int32_t);
            memcpy(out, flat.flat + rows[at].begin, bytes);
            out += bytes;
            memcpy(PyByteArray_AS_STRING(sizes) + at * sizeof(int32_t), &rows[at].size, 4);
            memcpy(PyByteArray_AS_STRING(dropped) + at * sizeof(int32_t), &rows[at].dropped, 4);
            PyByteArray_AS_STRING(inside)[at] = (char)rows[at].inside;
        }
        result = PyTuple_Pack(4, ids, sizes, dropped, inside);
    }
    Py_XDECREF(ids);
    Py_XDECREF(sizes);
    Py_XDECREF(dropped);
    Py_XDECREF(inside);
done:
    if (s != NULL)
        give_scratch(core, s);
    PyMem_Free(texts);
    PyMem_Free(rows);
    free(flat.flat);
    return result;
}

/* Rows of ids, one behind the other, as int64 rows of one width, filled with `pad`. */
static PyObject *
pad_rows(PyObject *self, PyObject *arguments)
{
    (void)self;
    Py_buffer ids, ends, out;
    Py_ssize_t width;
    long long pad;
    if (!PyArg_ParseTuple(arguments, "y*y*w*nL", &ids, &ends, &out, &width, &pad))
        return NULL;
    const int32_t *from = ids.buf;
    const int64_t *end = ends.buf;
    int64_t *to = out.buf;
    const int64_t size = ids.len / (Py_ssize_t)sizeof(int32_t);
    const Py_ssize_t count = ends.len / (Py_ssize_t)sizeof(int64_t);
    const Py_ssize_t room = out.len / (Py_ssize_t)sizeof(int64_t);
    int fits = width > 0 ? room / width >= count : count == 0;
    int64_t at = 0;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t row = 0; fits && row < count; row++, to += width) {
        int64_t stop = end[row];
        if (stop < at || stop > size || stop - at > width) {
            fits = 0;
            break;
        }
        Py_ssize_t column = 0;
        for (; at < stop; at++)
            to[column++] = from[at];
        for (; column < width; column++)
            to[column] = pad;
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&ids);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&out);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "the rows do not fit");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Building: every number that comes from Python is checked here. */

static COLD int
get_number(PyObject *spec, const char *name, long low, long high, int32_t *number)
{
    PyObject *value = PyDict_GetItemString(spec, name);
    long found = value == NULL ? low - 1 : PyLong_AsLong(value);
    if (PyErr_Occurred())
        return -1;
    if (found < low || found > high) {
        PyErr_Format(PyExc_ValueError, "%s is missing or out of range", name);
        return -1;
    }
    *number = (int32_t)found;
    return 0;
}

/* A column of int32 from bytes; its length is a multiple of `width`. */
static COLD const int32_t *
get_column(PyObject *spec, const char *name, Py_ssize_t width, Py_ssize_t *rows)
{
    PyObject *value = PyDict_GetItemString(spec, name);
    if (value == NULL || !PyBytes_Check(value) ||
        PyBytes_GET_SIZE(value) % (Py_ssize_t)(width * 4) != 0) {
        PyErr_Format(PyExc_ValueError, "%s is missing or not a column", name);
        return NULL;
    }
    *rows = PyBytes_GET_SIZE(value) / (width * 4);
    return (const int32_t *)(const void *)PyBytes_AS_STRING(value);
}

static COLD PyObject *
get_object(PyObject *spec, const char *name, PyTypeObject *type)
{
    PyObject *value = PyDict_GetItemString(spec, name);
    if (value == NULL || !PyObject_TypeCheck(value, type)) {
        PyErr_Format(PyExc_ValueError, "%s is missing or of another type", name);
        return NULL;
    }
    return value;
}

static uint32_t
table_size(size_t count)
{
    uint32_t size = 64;
    while (size < 2 * count + 2 && size < (1u << 30))
        size *= 2;
    return size;
}

#define BAD(message)                                                                               \
    do {                                                                                           \
        PyErr_SetString(PyExc_ValueError, message);                                                \
        return -1;                                                                                 \
    } while (0)

/* The entry of a piece or word, new where there is none; the table has room for all. */
static COLD Entry *
entry_of(Core *core, const char *padded, size_t length)
{
    Key key = key_of(padded, length);
    Entry *found = (Entry *)find_entry(core, padded, key);
    if (found != NULL)
        return found;
    uint32_t at = key.hash & core->entries_mask;
    while (core->entries[at].length)
        at = (at + 1) & core->entries_mask;
    if (length > 16) {
        key.tail |= (uint32_t)core->blob_size;
        memcpy(core->blob + core->blob_size, padded, length);
        core->blob_size += length;
    }
    core->entries[at] = (Entry){key.head, key.tail, -1, 0, 0, 0, (uint16_t)length};
    return &core->entries[at];
}

/* The tokens of the fallback by their texts, while a core is built. */
typedef struct {
    uint32_t hash;
    int32_t id;
    uint32_t place, length; /* in `points`; a length of 0: none */
} Token;

typedef struct {
    Token *rows;
    uint32_t mask;
    uint16_t *points;
    size_t size;
} Tokens;

#define LONGEST_TOKEN 250 /* characters; each is one or two halves of a byte */

static NOINLINE uint32_t
hash_points(const uint16_t *points, size_t length)
{
    uint64_t hash = length;
    for (size_t at = 0; at < length; at++)
        hash = (hash ^ points[at]) * 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(hash >> 32);
}

/* The row of a text, or the empty one that is for it. */
static NOINLINE Token *
find_token(const Tokens *tokens, const uint16_t *points, size_t length, uint32_t hash)
{
    uint32_t at = hash & tokens->mask;
    for (;; at = (at + 1) & tokens->mask) {
        Token *row = &tokens->rows[at];
        if (row->length == 0 ||
            (row->hash == hash && row->length == length &&
             memcmp(tokens->points + row->place, points, length * sizeof(*points)) == 0))
            return row;
    }
}

/* Append the characters of a text, without its spaces; `*half` says where the last of these was. */
static NOINLINE int
read_points(Tokens *tokens, PyObject *text, int spaces, size_t *half)
{
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    int kind = (int)PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    uint16_t *to = tokens->points + tokens->size;
    for (Py_ssize_t at = 0; at < size; at++) {
        Py_UCS4 point = PyUnicode_READ(kind, data, at);
        if (point > UINT16_MAX)
            BAD("a token holds an unknown character");
        if (point == ' ') {
            *half = (size_t)(to - tokens->points) - tokens->size;
            spaces--;
        }
        else
            *to++ = (uint16_t)point;
    }
    if (spaces)
        BAD("a merge is two texts with a space between them");
    return 0;
}

static int
is_half(uint16_t point)
{
    return point == 0x24ea || (point >= 0x2460 && point <= 0x246e);
}

static int
half_value(uint16_t point)
{
    return point == 0x24ea ? 0 : point - 0x2460 + 1;
}

/* The word that a token stands for, without the mark of its end, as its length; 0: none. */
static NOINLINE size_t
word_of_token(const uint16_t *points, size_t size, const int16_t *byte_of, char *word)
{
    size_t length = 0;
    for (size_t at = 0; at < size; at++) {
        int byte;
        if (length == LONGEST_WORD)
            return 0;
        if (is_half(points[at])) {
            if (at + 1 >= size || !is_half(points[at + 1]))
                return 0;
            byte = half_value(points[at]) << 4;
            byte |= half_value(points[++at]);
            if (byte_of[byte + 512] >= 0) /* such a byte is written as itself */
                return 0;
        }
        else {
            byte = points[at] < 512 ? byte_of[points[at]] : -1;
        }
        if (byte < 0)
            return 0;
        word[length++] = (char)byte;
    }
    return length;
}

static const uint16_t END[] = {'<', '/', 'w', '>'};

/* Give the text that was read last an id; its row. */
static NOINLINE Token *
add_token(Core *core, Tokens *tokens, size_t length, int32_t id, const int16_t *byte_of)
{
    const uint16_t *points = tokens->points + tokens->size;
    if (length < 1 || length > LONGEST_TOKEN || id < 0 || id >= core->vocab_size) {
        PyErr_SetString(PyExc_ValueError, "a token of the fallback is too long, or out of range");
        return NULL;
    }
    uint32_t hash = hash_points(points, length);
    Token *row = find_token(tokens, points, length, hash);
    if (row->length == 0) {
        *row = (Token){hash, id, (uint32_t)tokens->size, (uint32_t)length};
        tokens->size += length;
    }
    row->id = id; /* the last one of the same text counts, as in a dict */
    int ends = length >= 4 && memcmp(points + length - 4, END, sizeof(END)) == 0;
    size_t visible = length - (ends ? 4 : 0);
    unsigned halves = 0;
    for (size_t at = 0; at < visible; at++)
        halves += is_half(points[at]) ? 1 : 2;
    if (halves >= LONGEST_TOKEN) {
        PyErr_SetString(PyExc_ValueError, "a BPE token is too long for the compiled core");
        return NULL;
    }
    core->halves[id] = (uint8_t)halves;
    char word[LONGEST_WORD + PADDING] = {0};
    size_t size = ends ? word_of_token(points, visible, byte_of, word) : 0;
    if (size)
        entry_of(core, word, size)->whole = id;
    return row;
}

/* The id of a symbol, with the mark of the end of a word where `ends`; -1 where it has none. */
static COLD int32_t
symbol_id(const Tokens *tokens, Py_UCS4 point, int ends)
{
    uint16_t points[5] = {(uint16_t)point};
    memcpy(points + 1, END, sizeof(END));
    size_t length = ends ? 5 : 1;
    const Token *row = find_token(tokens, points, length, hash_points(points, length));
    return row->length ? row->id : -1;
}

/* Every token and merge of the fallback, in tables that hold them. */
static COLD int
add_fallback(Core *core, Tokens *tokens, PyObject *alphabet, PyObject *const lists[3],
             const int32_t begins[3], uint32_t *rows)
{
    /* The bytes behind the symbols; from 512 on, whether a byte has a symbol of its own. */
    int16_t byte_of[768];
    memset(byte_of, -1, sizeof(byte_of));
    for (int byte = 0; byte < 256; byte++) {
        PyObject *symbols = PyTuple_GET_ITEM(alphabet, byte);
        Py_UCS4 first = PyUnicode_READ_CHAR(symbols, 0);
        if (PyUnicode_GET_LENGTH(symbols) == 1 && first < 512) {
            byte_of[first] = (int16_t)byte;
            byte_of[512 + byte] = (int16_t)byte;
        }
    }
    size_t number = 0;
    for (int list = 0; list < 3; list++)
        for (Py_ssize_t at = 0; at < PyList_GET_SIZE(lists[list]); at++) {
            PyObject *text = PyList_GET_ITEM(lists[list], at);
            size_t half = 0, length = (size_t)PyUnicode_GET_LENGTH(text);
            if (read_points(tokens, text, list > 0, &half) < 0)
                return -1;
            const Token *row = add_token(core, tokens, length - (list > 0),
                                         (int32_t)(begins[list] + at), byte_of);
            if (row == NULL)
                return -1;
            if (list) {
                rows[2 * number] = (uint32_t)(row - tokens->rows);
                rows[2 * number++ + 1] = (uint32_t)half;
            }
        }
    for (size_t rank = 0; rank < number; rank++) {
        const Token *row = &tokens->rows[rows[2 * rank]];
        const uint16_t *points = tokens->points + row->place;
        size_t half = rows[2 * rank + 1], rest = row->length - half;
        const Token *left = find_token(tokens, points, half, hash_points(points, half));
        const Token *right = find_token(tokens, points + half, rest, hash_points(points + half, rest));
        if (left->length == 0 || right->length == 0)
            continue; /* can never come together */
        uint64_t pair = ((uint64_t)left->id << 32) | (uint32_t)right->id;
        uint32_t at = hash_key(pair) & core->merges_mask;
        for (; core->merges[at].id >= 0; at = (at + 1) & core->merges_mask)
            if (core->merges[at].key == pair)
                BAD("a merge comes twice");
        core->merges[at] = (Merge){pair, (int32_t)rank, row->id};
    }
    core->end_symbol = -1;
    if (core->compact) {
        const Token *row = find_token(tokens, END, 4, hash_points(END, 4));
        if (row->length == 0)
            BAD("a compact fallback has an end of a word");
        core->end_symbol = row->id;
    }
    for (int byte = 0; byte < 256; byte++) {
        PyObject *symbols = PyTuple_GET_ITEM(alphabet, byte);
        core->byte_symbols[byte][1] = core->last_symbols[byte] = -1;
        for (Py_ssize_t at = 0; at < PyUnicode_GET_LENGTH(symbols); at++) {
            int32_t id = symbol_id(tokens, PyUnicode_READ_CHAR(symbols, at), 0);
            if (id < 0)
                BAD("a symbol has no id");
            core->byte_symbols[byte][at] = id;
        }
        if (!core->compact) {
            core->last_symbols[byte] = symbol_id(tokens, PyUnicode_READ_CHAR(symbols, 0), 1);
            if (core->last_symbols[byte] < 0)
                BAD("a symbol that ends a word has no id");
        }
    }
    return 0;
}

/* The BPE of the fallback, and room for the entries of `num_pieces` pieces. */
static COLD int
build_fallback(Core *core, PyObject *spec, size_t num_pieces, size_t piece_bytes)
{
    static const char *const names[3] = {"symbols", "merges", "more"};
    static const char *const places[3] = {"bpe", "first_merge", "first_more"};
    PyObject *alphabet = get_object(spec, "alphabet", &PyTuple_Type), *lists[3];
    if (alphabet == NULL)
        return -1;
    if (PyTuple_GET_SIZE(alphabet) != 256)
        BAD("the alphabet has 256 bytes");
    for (int byte = 0; byte < 256; byte++) {
        PyObject *symbols = PyTuple_GET_ITEM(alphabet, byte);
        if (!PyUnicode_Check(symbols) || PyUnicode_GET_LENGTH(symbols) < 1 ||
            PyUnicode_GET_LENGTH(symbols) > (core->compact ? 2 : 1) ||
            PyUnicode_MAX_CHAR_VALUE(symbols) > UINT16_MAX)
            BAD("a byte is one symbol, or two");
    }
    int32_t begins[3];
    size_t count = 0, characters = 0;
    for (int list = 0; list < 3; list++) {
        lists[list] = get_object(spec, names[list], &PyList_Type);
        if (lists[list] == NULL ||
            get_number(spec, places[list], 0, core->vocab_size - 1, &begins[list]))
            return -1;
        count += (size_t)PyList_GET_SIZE(lists[list]);
        for (Py_ssize_t at = 0; at < PyList_GET_SIZE(lists[list]); at++) {
            PyObject *text = PyList_GET_ITEM(lists[list], at);
            if (!PyUnicode_Check(text) || PyUnicode_GET_LENGTH(text) > 2 * LONGEST_TOKEN)
                BAD("a token of the fallback is a short text");
            characters += (size_t)PyUnicode_GET_LENGTH(text);
        }
    }
    if (count > (size_t)core->vocab_size || characters > UINT32_MAX / 4)
        BAD("the fallback is too large");
    size_t num_merges = count - (size_t)PyList_GET_SIZE(lists[0]);
    uint32_t size = table_size(count + num_pieces), merges = table_size(num_merges);
    core->blob = calloc(characters + piece_bytes + 2 * PADDING, 1);
    core->entries = calloc(size, sizeof(Entry));
    core->merges = malloc(merges * sizeof(Merge));
    core->halves = calloc((size_t)core->vocab_size, 1);
    Tokens tokens = {calloc(table_size(count), sizeof(Token)), table_size(count) - 1,
                     malloc((characters + 1) * sizeof(uint16_t)), 0};
    uint32_t *rows = malloc((2 * num_merges + 1) * sizeof(*rows));
    int result = -1;
    if (!core->blob || !core->entries || !core->merges || !core->halves || !tokens.rows ||
        !tokens.points || !rows)
        PyErr_NoMemory();
    else {
        core->entries_mask = size - 1;
        core->blob_size = 1; /* place 0 stands for none */
        core->merges_mask = merges - 1;
        for (uint32_t at = 0; at < merges; at++)
            core->merges[at].id = -1;
        result = add_fallback(core, &tokens, alphabet, lists, begins, rows);
    }
    free(tokens.rows);
    free(tokens.points);
    free(rows);
    return result;
}

static COLD int
build_words(Core *core, PyObject *spec)
{
    PyObject *pieces = get_object(spec, "pieces", &PyList_Type);
    PyObject *number_tokens = get_object(spec, "number_tokens", &PyTuple_Type);
    if (!pieces || !number_tokens)
        return -1;
    size_t bytes = 0;
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(pieces); at++) {
        PyObject *piece = PyList_GET_ITEM(pieces, at);
        if (!PyUnicode_Check(piece))
            BAD("a piece is a text");
        bytes += (size_t)PyUnicode_GET_LENGTH(piece);
    }
    if (bytes > UINT32_MAX / 4)
        BAD("the table is too large");
    if (build_fallback(core, spec, (size_t)PyList_GET_SIZE(pieces), bytes) < 0)
        return -1;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(number_tokens); at++) {
        PyObject *row = PyTuple_GET_ITEM(number_tokens, at);
        if (!PyTuple_Check(row) || PyTuple_GET_SIZE(row) != 2 ||
            !PyUnicode_Check(PyTuple_GET_ITEM(row, 0)) || !PyUnicode_Check(PyTuple_GET_ITEM(row, 1)))
            BAD("a number token is a role and a text");
    }
    uint32_t numbers = table_size((size_t)PyTuple_GET_SIZE(number_tokens));
    core->numbers = calloc(numbers, sizeof(NumberToken));
    core->num_numbers = (int32_t)PyTuple_GET_SIZE(number_tokens);
    core->number_lengths = calloc((size_t)core->num_numbers + 1, sizeof(int32_t));
    if (!core->numbers || !core->number_lengths) {
        PyErr_NoMemory();
        return -1;
    }
    core->numbers_mask = numbers - 1;
    if (core->number + core->num_numbers > core->vocab_size)
        BAD("the number tokens are out of range");
    char word[16 + PADDING];
    core->longest_number = 0;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(number_tokens); at++) {
        PyObject *row = PyTuple_GET_ITEM(number_tokens, at);
        const char *role = PyUnicode_AsUTF8(PyTuple_GET_ITEM(row, 0));
        PyObject *text = PyTuple_GET_ITEM(row, 1);
        if (role == NULL)
            return -1;
        size_t length = (size_t)PyUnicode_GET_LENGTH(text);
        core->number_lengths[at] = (int32_t)length;
        if (!PyUnicode_IS_ASCII(text) || length == 0)
            continue; /* stands for text that the Python engine encodes */
        if (length > 16)
            BAD("a number token is too long for the compiled core");
        int32_t number = strcmp(role, "start") == 0      ? ROLE_START
                         : strcmp(role, "continue") == 0 ? ROLE_CONTINUE
                         : strcmp(role, "prefix") == 0   ? ROLE_PREFIX
                                                         : ROLE_SEPARATOR;
        memset(word, 0, sizeof(word));
        memcpy(word, PyUnicode_DATA(text), length);
        Key key = key_of(word, length);
        uint32_t slot = (key.hash + (uint32_t)number) & core->numbers_mask;
        for (; core->numbers[slot].length; slot = (slot + 1) & core->numbers_mask) {
            const NumberToken *one = &core->numbers[slot];
            if (one->role == number && one->length == length && one->head == key.head &&
                one->tail == key.tail)
                break; /* the last one of the same text counts, as in a dict */
        }
        core->numbers[slot] =
            (NumberToken){key.head, key.tail, (uint32_t)length, number, (int32_t)at};
        if ((int32_t)length > core->longest_number)
            core->longest_number = (int32_t)length;
    }
    return 0;
}

static COLD int
build_tries(Core *core, PyObject *spec)
{
    PyObject *pieces = get_object(spec, "pieces", &PyList_Type);
    Py_ssize_t num_nodes, num_slots, num_steps, num_types, num_entries, num_roots, num_phrases;
    const int32_t *nodes = get_column(spec, "nodes", 4, &num_nodes);
    const int32_t *slots = nodes ? get_column(spec, "slots", 3, &num_slots) : NULL;
    const int32_t *steps = slots ? get_column(spec, "steps", 4, &num_steps) : NULL;
    const int32_t *types = steps ? get_column(spec, "types", 1, &num_types) : NULL;
    const int32_t *entries = types ? get_column(spec, "entries", 2, &num_entries) : NULL;
    const int32_t *roots = entries ? get_column(spec, "enum_roots", 1, &num_roots) : NULL;
    const int32_t *phrases = roots ? get_column(spec, "phrase_edges", 2, &num_phrases) : NULL;
    if (pieces == NULL || phrases == NULL)
        return -1;
    if (num_nodes > INT32_MAX / 2 || num_slots > INT32_MAX / 2 || num_steps > INT32_MAX / 4 ||
        num_entries != PyList_GET_SIZE(pieces) || num_types < 1)
        BAD("the tries do not fit together");
    core->nodes = calloc((size_t)num_nodes + 1, sizeof(Node));
    core->slots = calloc((size_t)num_slots + 1, sizeof(Slot));
    core->types = calloc((size_t)num_types + 1, sizeof(int32_t));
    core->enum_roots = calloc((size_t)num_roots + 1, sizeof(int32_t));
    core->phrase_left = calloc((size_t)num_phrases + 1, 1);
    core->phrase_right = calloc((size_t)num_phrases + 1, 1);
    uint32_t size = table_size((size_t)num_steps);
    core->steps = calloc(size, sizeof(Step));
    if (!core->nodes || !core->slots || !core->types || !core->enum_roots || !core->phrase_left ||
        !core->phrase_right || !core->steps) {
        PyErr_NoMemory();
        return -1;
    }
    core->steps_mask = size - 1;
    core->num_nodes = (int32_t)num_nodes;
    core->num_slots = (int32_t)num_slots;
    core->num_types = (size_t)num_types;
    core->num_enums = (int32_t)num_roots;
    core->num_phrases = (int32_t)num_phrases;
    for (Py_ssize_t at = 0; at < num_phrases; at++) {
        for (int side = 0; side < 2; side++)
            if (phrases[2 * at + side] < 0 || phrases[2 * at + side] > 4)
                BAD("an edge of a phrase is out of range");
        core->phrase_left[at] = (uint8_t)phrases[2 * at];
        core->phrase_right[at] = (uint8_t)phrases[2 * at + 1];
    }
    if (core->phrase + num_phrases > core->vocab_size)
        BAD("the phrases are out of range");
    for (Py_ssize_t at = 0; at < num_nodes; at++) {
        Node node = {nodes[4 * at], nodes[4 * at + 1], nodes[4 * at + 2], nodes[4 * at + 3]};
        if (node.end < -1 || (node.end >= num_phrases && node.end != BARE_VALUE) ||
            node.value < -1 || node.value >= core->vocab_size || node.first_slot < 0 ||
            node.num_slots < 0 || node.num_slots > num_slots ||
            node.first_slot > num_slots - node.num_slots)
            BAD("a node of a trie is out of range");
        core->nodes[at] = node;
    }
    for (Py_ssize_t at = 0; at < num_slots; at++) {
        Slot slot = {slots[3 * at], slots[3 * at + 1], slots[3 * at + 2]};
        if (slot.type < 0 || slot.type >= num_roots || slot.spaced < 0 || slot.spaced > 2 ||
            slot.child <= 0 || slot.child >= num_nodes)
            BAD("a slot of a trie is out of range");
        core->slots[at] = slot;
    }
    for (Py_ssize_t at = 0; at < num_steps; at++) {
        int32_t node = steps[4 * at], piece = steps[4 * at + 1];
        int32_t spaced = steps[4 * at + 2], child = steps[4 * at + 3];
        if (node < 0 || node >= num_nodes || piece <= 0 || piece > num_entries || spaced < 0 ||
            spaced > 1 || child <= 0 || child >= num_nodes)
            BAD("a step of a trie is out of range");
        uint64_t key = ((uint64_t)node << 32) | ((uint64_t)piece << 1) | (uint64_t)spaced;
        uint32_t slot = hash_key(key) & core->steps_mask;
        while (core->steps[slot].child)
            slot = (slot + 1) & core->steps_mask;
        core->steps[slot] = (Step){key, child};
    }
    for (Py_ssize_t at = 0; at < num_roots; at++) {
        if (roots[at] < 0 || roots[at] >= num_nodes)
            BAD("a root of a trie is out of range");
        core->enum_roots[at] = roots[at];
    }
    memcpy(core->types, types, (size_t)num_types * sizeof(int32_t));
    for (Py_ssize_t at = 0; at < num_entries; at++) {
        int32_t root = entries[2 * at], list = entries[2 * at + 1];
        if (root < 0 || root >= num_nodes || list < 0 || list >= num_types)
            BAD("a piece is out of range");
        if (list) {
            if (types[list] < 1 || types[list] > num_types - list - 1)
                BAD("a list of types is out of range");
            for (int32_t turn = 1; turn <= types[list]; turn++)
                if (types[list + turn] < 0 || types[list + turn] >= num_roots)
                    BAD("a type is out of range");
        }
        PyObject *text = PyList_GET_ITEM(pieces, at);
        Py_ssize_t length = PyUnicode_GET_LENGTH(text);
        if (!PyUnicode_IS_ASCII(text) || length == 0)
            continue; /* never met in ASCII */
        if (length > UINT16_MAX || list > UINT16_MAX)
            BAD("a piece is too long for the compiled core");
        char *padded = calloc((size_t)length + PADDING, 1);
        if (padded == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        memcpy(padded, PyUnicode_DATA(text), (size_t)length);
        Entry *entry = entry_of(core, padded, (size_t)length);
        free(padded);
        entry->piece = (int32_t)at + 1;
        entry->root = root;
        entry->types = (uint16_t)list;
    }
    return 0;
}

static COLD int
build_text(Core *core, PyObject *spec)
{
    PyObject *closings = get_object(spec, "closings", &PyUnicode_Type);
    PyObject *units = closings ? get_object(spec, "units", &PyList_Type) : NULL;
    if (units == NULL)
        return -1;
    for (int at = '0'; at <= '9'; at++)
        core->classes[at] |= IS_DIGIT;
    for (int at = 'a'; at <= 'z'; at++)
        core->classes[at] |= IS_LETTER;
    for (const char *at = ")]};:!?%"; *at; at++)
        core->classes[(uint8_t)*at] |= IS_CLOSER;
    core->classes['.'] |= IS_STOP;
    core->classes[','] |= IS_STOP;
    for (Py_ssize_t at = 0; at < PyUnicode_GET_LENGTH(closings); at++) {
        Py_UCS4 character = PyUnicode_READ_CHAR(closings, at);
        if (character >= 128 || at > 16)
            BAD("a closing is an ASCII character");
        if (core->closing[character] == 0)
            core->closing[character] = (int8_t)(at + 1);
    }
    if ((int64_t)core->severity + (1 + PyUnicode_GET_LENGTH(closings)) * (int64_t)core->num_closable >
        core->vocab_size)
        BAD("the closed ids are out of range");
    core->num_unit_names = (int32_t)PyList_GET_SIZE(units);
    core->unit_names = calloc((size_t)core->num_unit_names + 1, sizeof(Unit));
    if (core->unit_names == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (int32_t at = 0; at < core->num_unit_names; at++) {
        PyObject *name = PyList_GET_ITEM(units, at);
        if (!PyUnicode_Check(name) || !PyUnicode_IS_ASCII(name) || PyUnicode_GET_LENGTH(name) < 1 ||
            PyUnicode_GET_LENGTH(name) > 30)
            BAD("a unit is a short ASCII text");
        Unit *unit = &core->unit_names[at];
        unit->length = (uint8_t)PyUnicode_GET_LENGTH(name);
        memcpy(unit->text, PyUnicode_DATA(name), unit->length);
        unit->first = (uint8_t)unit->text[0];
        if (!(core->classes[unit->first] & IS_LETTER))
            BAD("a unit begins with a letter");
        core->classes[unit->first] |= IS_UNIT_FIRST;
    }
    for (int at = 0; at < 256; at++) {
        uint32_t folded = at < 128 ? FOLD[at] : 0, kinds = at < 128 ? core->classes[folded] : 0;
        uint32_t shape = SHAPE_OTHER, refused = SHAPE_OTHER;
        if (at == ' ') {
            shape = SHAPE_SPACE;
            refused |= SHAPE_SPACE | SHAPE_CLOSER;
        }
        else if (at < 128 && folded != FOLD_SPACE) {
            shape = (kinds & (IS_CLOSER | IS_STOP) ? SHAPE_CLOSER : 0) |
                    (kinds & IS_UNIT_FIRST ? SHAPE_UNIT : 0);
            refused |= (kinds & IS_DIGIT ? SHAPE_UNIT : 0) | (at == '.' ? SHAPE_SPACE : 0);
        }
        core->shapes[at] = shape | refused << 8 | folded << 16;
    }
    return 0;
}

static COLD int
build_list(PyObject *spec, const char *name, Words *words)
{
    PyObject *list = get_object(spec, name, &PyList_Type);
    if (list == NULL)
        return -1;
    if (PyList_GET_SIZE(list) > (1 << WORDS_BITS) / 2)
        BAD("a list of words is too long");
    for (Py_ssize_t turn = 0; turn < PyList_GET_SIZE(list); turn++) {
        PyObject *text = PyList_GET_ITEM(list, turn);
        char word[16 + PADDING] = {0};
        if (!PyUnicode_Check(text) || !PyUnicode_IS_ASCII(text) || PyUnicode_GET_LENGTH(text) < 1 ||
            PyUnicode_GET_LENGTH(text) > 16)
            BAD("a word of a list is a short ASCII text");
        size_t length = (size_t)PyUnicode_GET_LENGTH(text);
        memcpy(word, PyUnicode_DATA(text), length);
        Key key = key_of(word, length);
        uint32_t at = key.hash & ((1u << WORDS_BITS) - 1);
        while (words->rows[at][0])
            at = (at + 1) & ((1u << WORDS_BITS) - 1);
        words->rows[at][0] = key.head;
        words->rows[at][1] = key.tail;
    }
    return 0;
}

static COLD int
build_sentences(Core *core, PyObject *spec)
{
    PyObject *unify = get_object(spec, "unify_lines", &PyBaseObject_Type);
    PyObject *inner = unify ? get_object(spec, "is_inner", &PyBaseObject_Type) : NULL;
    PyObject *on = inner ? get_object(spec, "goes_on", &PyBaseObject_Type) : NULL;
    if (on == NULL || build_list(spec, "abbreviations", &core->abbreviations) ||
        build_list(spec, "dangling", &core->dangling))
        return -1;
    core->unify_lines = Py_NewRef(unify);
    core->is_inner = Py_NewRef(inner);
    core->goes_on = Py_NewRef(on);
    return 0;
}

static COLD int
core_build(Core *core, PyObject *spec)
{
    int32_t flag;
    if (get_number(spec, "vocab_size", 1, INT32_MAX / 4, &core->vocab_size))
        return -1;
    long top = core->vocab_size - 1;
    if (get_number(spec, "bos", 0, top, &core->bos) || get_number(spec, "eos", 0, top, &core->eos) ||
        get_number(spec, "join", 0, top, &core->join) ||
        get_number(spec, "space", 0, top, &core->space) ||
        get_number(spec, "severity", 0, top, &core->severity) ||
        get_number(spec, "num_closable", 0, top, &core->num_closable) ||
        get_number(spec, "number", 0, top, &core->number) ||
        get_number(spec, "phrase", 0, top, &core->phrase))
        return -1;
    if (get_number(spec, "sentences_part", 0, 1, &flag))
        return -1;
    core->sentences_part = flag;
    if (get_number(spec, "compact", 0, 1, &flag))
        return -1;
    core->compact = flag;
    if (get_number(spec, "joins_parts", 0, 1, &flag))
        return -1;
    core->joins_parts = flag;
    if (get_number(spec, "own_numbers", 0, 1, &flag))
        return -1;
    core->own_numbers = flag;
    core->integers = calloc((size_t)core->vocab_size, sizeof(PyObject *));
    if (core->integers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *hard = get_object(spec, "encode_hard", &PyBaseObject_Type);
    PyObject *spans = hard ? get_object(spec, "span_hard", &PyBaseObject_Type) : NULL;
    if (spans == NULL)
        return -1;
    core->encode_hard = Py_NewRef(hard);
    core->span_hard = Py_NewRef(spans);
    if (build_text(core, spec) || build_words(core, spec) || build_tries(core, spec) ||
        build_sentences(core, spec))
        return -1;
    return 0;
}

static COLD int
core_traverse(PyObject *self, visitproc visit, void *arg)
{
    Core *core = (Core *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(core->encode_hard);
    Py_VISIT(core->span_hard);
    Py_VISIT(core->unify_lines);
    Py_VISIT(core->is_inner);
    Py_VISIT(core->goes_on);
    return 0;
}

static COLD int
core_clear(PyObject *self)
{
    Core *core = (Core *)self;
    Py_CLEAR(core->encode_hard);
    Py_CLEAR(core->span_hard);
    Py_CLEAR(core->unify_lines);
    Py_CLEAR(core->is_inner);
    Py_CLEAR(core->goes_on);
    return 0;
}

static COLD void
core_dealloc(PyObject *self)
{
    Core *core = (Core *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (core->weak_references != NULL)
        PyObject_ClearWeakRefs(self);
    core_clear(self);
    if (core->integers != NULL)
        for (int32_t at = 0; at < core->vocab_size; at++)
            Py_XDECREF(core->integers[at]);
    free(core->integers);
    free(core->phrase_left);
    free(core->phrase_right);
    free(core->halves);
    free(core->blob);
    free(core->entries);
    free(core->types);
    free(core->nodes);
    free(core->slots);
    free(core->steps);
    free(core->enum_roots);
    free(core->merges);
    free(core->numbers);
    free(core->number_lengths);
    free(core->unit_names);
    while (core->pool != NULL) {
        Scratch *s = core->pool;
        core->pool = s->next;
        free_scratch(s);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static COLD PyObject *
core_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *spec;
    static char *names[] = {"spec", NULL};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!", names, &PyDict_Type, &spec))
        return NULL;
    PyObject *self = type->tp_alloc(type, 0); /* all fields are 0 */
    if (self != NULL && core_build((Core *)self, spec) < 0)
        Py_CLEAR(self);
    return self;
}

static PyMethodDef core_methods[] = {
    {"encode", core_encode, METH_O, "encode(text): the trace of a text."},
    {"encode_word", core_encode_word, METH_O,
     "encode_word(bytes): the ids of one BPE word; None for a long one."},
    {"encode_many", core_encode_many, METH_VARARGS,
     "encode_many(texts, context_length): ids of a tuple of texts, cut between units where "
     "context_length is not 0.\n\nReturns bytearrays: int32 ids of all rows, int32 sizes of the rows, "
     "int32 numbers of ids dropped, and whether each row was cut inside of a unit."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef core_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Core, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot core_slots[] = {
    {Py_tp_members, core_members},
    {Py_tp_new, core_new},
    {Py_tp_dealloc, core_dealloc},
    {Py_tp_traverse, core_traverse},
    {Py_tp_clear, core_clear},
    {Py_tp_methods, core_methods},
    {Py_tp_doc, "The tables of a tokenizer, compiled; see `echotok.engine.core`."},
    {0, NULL},
};

static PyType_Spec core_spec = {
    .name = "echotok.engine._core.Core",
    .basicsize = sizeof(Core),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = core_slots,
};

static PyMethodDef functions[] = {
    {"pad_rows", pad_rows, METH_VARARGS,
     "pad_rows(ids, row_ends, out, width, pad): int32 ids of rows one behind the other and the int64 "
     "index behind each row, as int64 rows of one width."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_core", "The compiled core of the engine.", -1, functions, NULL, NULL,
    NULL, NULL,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    for (int at = 0; at < 128; at++) {
        FOLD[at] = (uint8_t)(at >= 'A' && at <= 'Z' ? at + 32 : at);
        if ((at >= 9 && at <= 13) || (at >= 0x1c && at <= 0x1f))
            FOLD[at] = FOLD_SPACE;
    }
    for (int right = 0; right < 5; right++)
        for (int left = 0; left < 5; left++)
            EXPECTS_SPACE[right][left] = !(right == EDGE_OPEN || left == EDGE_TIGHT ||
                                           (left == EDGE_HYPHEN && right == EDGE_WORD));
    PyObject *self = PyModule_Create(&module);
    if (self == NULL)
        return NULL;
    TraceType = (PyTypeObject *)PyType_FromSpec(&trace_spec);
    PyObject *core = PyType_FromSpec(&core_spec);
    if (TraceType == NULL || core == NULL || PyModule_AddObjectRef(self, "Core", core) < 0 ||
        PyModule_AddObjectRef(self, "Trace", (PyObject *)TraceType) < 0) {
        Py_XDECREF(core);
        Py_DECREF(self);
        return NULL;
    }
    Py_DECREF(core);
    return self;
}
