#include "config_suggest.h"

#include <string.h>

enum { MOST_LETTERS = 96, FAR = 1000 };

static int lower(char letter) {
    return letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter;
}

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Three rows of the usual table suffice: a swap looks two rows back. */
static int distance(const char *a, const char *b) {
    const size_t a_letters = strlen(a), b_letters = strlen(b);
    int rows[3][MOST_LETTERS + 1];

    if (a_letters > MOST_LETTERS || b_letters > MOST_LETTERS) return FAR;
    for (size_t j = 0; j <= b_letters; j++) rows[0][j] = (int)j;
    for (size_t i = 1; i <= a_letters; i++) {
        int *row = rows[i % 3];
        const int *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];

        row[0] = (int)i;
        for (size_t j = 1; j <= b_letters; j++) {
            const int differ = lower(a[i - 1]) != lower(b[j - 1]);

            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + differ);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_letters % 3][b_letters];
}

/* How many words of `a` have to go from its front to leave `b`: 1 for num_heads and
 * heads. FAR when it never does. */
static int words_before(const char *a, const char *b) {
    int words = 0;

    while ((a = strchr(a, '_')) != NULL) {
        a++;
        words++;
        if (strcmp(a, b) == 0) return words;
    }
    return FAR;
}

/* The distance, or FAR when the words have too little in common. Other programs'
 * names often have a word more or less in front, which counts as one letter. */
static int near_distance(const char *a, const char *b) {
    const size_t a_letters = strlen(a), b_letters = strlen(b);
    const size_t longer = a_letters > b_letters ? a_letters : b_letters;
    const int found = distance(a, b);
    const int by_words = least(words_before(a, b), words_before(b, a));

    return least((size_t)found <= longer / 3 ? found : FAR, by_words);
}

static int dots(const char *path) {
    int count = 0;

    for (; *path != '\0'; path++) count += *path == '.';
    return count;
}

/* Whole paths of one section differ in their last words only, so those decide; a
 * mistake in the section's word is caught by whole paths of the same depth. */
static int key_distance(const char *path, const char *candidate) {
    const char *last = attn_config_key_last(path);
    const char *candidate_last = attn_config_key_last(candidate);
    const size_t section_bytes = (size_t)(last - path);
    const int same_section = section_bytes == (size_t)(candidate_last - candidate) &&
                             strncmp(path, candidate, section_bytes) == 0;
    int found = near_distance(last, candidate_last);

    if (same_section) return found;
    if (found < FAR) found++;
    if (dots(path) == dots(candidate)) found = least(found, near_distance(path, candidate));
    return found;
}

int32_t attn_config_suggest_key(const char *path) {
    int32_t count, nearest = -1;
    const attn_config_key *keys = attn_config_keys(&count);
    int best = FAR;

    for (int32_t row = 0; row < count; row++) {
        const int found = key_distance(path, keys[row].path);

        if (found >= best) continue;
        best = found;
        nearest = row;
    }
    return nearest;
}

const char *attn_config_suggest_choice(const attn_config_key *key, const char *word) {
    const char *nearest = key->or_auto ? "auto" : NULL;
    int best = key->or_auto ? near_distance(word, "auto") : FAR;

    for (int i = 0; key->name(i) != NULL; i++) {
        const int found = near_distance(word, key->name(i));

        if (found >= best) continue;
        best = found;
        nearest = key->name(i);
    }
    return best < FAR ? nearest : NULL;
}
