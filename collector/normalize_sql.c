/* The form of an SQL statement: a scanner that writes one token after the other, and takes back what a list repeats.
 * The lexical rules are PostgreSQL's (chapter 4.1), MySQL's ("Language Structure") and SQLite's where they differ.
 * Nothing grows with the input but the depth of brackets, which is bounded. World: plain. */
#include <string.h>

#include "collector/normalize.h"
#include "collector/normalize_impl.h"

#define DEPTH_MAX 32 /* of brackets whose lists are folded */
#define WORD_MAX  16 /* of the words that matter */
#define NAME_MAX  64 /* of a placeholder, of a dollar quote */

enum token { START, WORD, KEYWORD, VALUE, OPERATOR, OPEN, CLOSE, COMMA, DOT, CAST };

/* A bracket that is open, or the rows behind VALUES. */
struct list {
	bool folded;                 /* its elements are compared */
	bool rows;                   /* VALUES: it has no bracket of its own */
	bool first;                  /* no element is complete */
	uint64_t last;               /* hash of the element before */
	struct pa_normal_mark back;  /* before the comma of the element being read */
	struct pa_normal_mark begin; /* behind it */
};

struct scan {
	enum pa_dialect dialect;
	const char *p;
	size_t len;
	size_t at;
	struct pa_normal out;
	enum token last;
	bool semicolon;      /* one has been read and not put */
	char word[WORD_MAX]; /* the last word in small letters, empty when longer */
	size_t depth;
	struct list lists[DEPTH_MAX];
};

static bool is_space(char c)
{
	return (c >= 0 && c <= ' ') || c == 0x7f;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool begins_word(char c)
{
	return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || (c & 0x80);
}

static bool in_word(char c)
{
	return begins_word(c) || is_digit(c) || c == '$';
}

static char peek(const struct scan *s, size_t ahead)
{
	return ahead < s->len - s->at ? s->p[s->at + ahead] : 0;
}

/* The last word is one of these. */
static bool is_word(const struct scan *s, const char *words)
{
	size_t len = strlen(s->word);

	for (const char *at = words; len && (at = strstr(at, s->word)); at++)
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

static const char keywords[] =
    "in values and or not select from where on join set as over using exists any all some when then "
    "else case by union except intersect limit offset returning between like ilike is distinct into "
    "having with filter within interval update delete default fetch only like";

/* An operand comes next: a sign belongs to it, and ? and %s stand for one. */
static bool expects_operand(const struct scan *s)
{
	return s->last != WORD && s->last != VALUE && s->last != CLOSE;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static struct list *list_top(struct scan *s)
{
	return s->depth && s->depth <= DEPTH_MAX ? &s->lists[s->depth - 1] : NULL;
}

static void list_push(struct scan *s, bool folded, bool rows)
{
	s->depth++;
	if (s->depth <= DEPTH_MAX)
		*list_top(s) =
		    (struct list){.folded = folded, .rows = rows, .first = true, .back = s->out.at, .begin = s->out.at};
}

/* An element is complete: one that is like the one before it is taken back. */
static void element_end(struct scan *s, struct list *l)
{
	uint64_t hash;

	if (!l || !l->folded)
		return;
	hash = pa_normal_hash(&s->out, &l->begin);
	if (!l->first && hash == l->last)
		s->out.at = l->back;
	l->last = hash;
	l->first = false;
}

/* Anything but a row or a comma ends the rows behind VALUES. */
static void rows_end(struct scan *s)
{
	struct list *l = list_top(s);

	if (!l || !l->rows)
		return;
	if (s->last == CLOSE)
		element_end(s, l);
	s->depth--;
}

/* The statement goes on where nobody saw it: an element that is not complete would be told from the next one's by
 * chance. */
static void cut_end(struct scan *s)
{
	for (size_t i = 0; i < s->depth && i < DEPTH_MAX; i++) {
		struct list *l = &s->lists[i];

		if (l->folded && !l->first) {
			s->out.at = l->back;
			break;
		}
	}
	PA_NORMAL_PUT(&s->out, " ...");
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

static bool apart(const struct scan *s, enum token kind)
{
	if (s->last == START || s->last == OPEN || s->last == DOT || s->last == CAST || s->last == COMMA)
		return false;
	if (kind == CLOSE || kind == COMMA || kind == DOT || kind == CAST)
		return false;
	return kind != OPEN || (s->last != WORD && s->last != CLOSE);
}

/* What stands before a token: the end of the statement before, a blank. */
static void before(struct scan *s, enum token kind)
{
	if (s->semicolon && s->last != START) {
		PA_NORMAL_PUT(&s->out, "; ");
		s->last = START;
	}
	s->semicolon = false;
	if (kind != OPEN && kind != COMMA)
		rows_end(s);
	if (apart(s, kind))
		PA_NORMAL_PUT(&s->out, " ");
}

static void put_value(struct scan *s)
{
	before(s, VALUE);
	PA_NORMAL_PUT(&s->out, "?");
	s->last = VALUE;
}

static void put_operator(struct scan *s, size_t len)
{
	size_t end = s->at + len;

	before(s, OPERATOR);
	while (s->at < end)
		s->at += pa_normal_put_char(&s->out, s->p + s->at, end - s->at);
	s->last = OPERATOR;
}

static void put_open(struct scan *s, bool square)
{
	bool folded = square ? s->last == WORD && is_word(s, "array") : s->last == KEYWORD && is_word(s, "in");

	if (square && s->last == VALUE)
		s->last = WORD;
	before(s, OPEN);
	pa_normal_put(&s->out, square ? "[" : "(", 1);
	list_push(s, folded, false);
	s->last = OPEN;
	s->at++;
}

static void put_close(struct scan *s, bool square)
{
	before(s, CLOSE);
	element_end(s, list_top(s));
	if (s->depth)
		s->depth--;
	pa_normal_put(&s->out, square ? "]" : ")", 1);
	s->last = CLOSE;
	s->at++;
}

static void put_comma(struct scan *s)
{
	struct list *l;

	before(s, COMMA);
	l = list_top(s);
	element_end(s, l);
	if (l)
		l->back = s->out.at;
	PA_NORMAL_PUT(&s->out, ", ");
	if (l)
		l->begin = s->out.at;
	s->last = COMMA;
	s->at++;
}

/* ---- literals, names and comments ------------------------------------------------------------------------------- */

/* Where a text in quotes ends: behind the quote that is not doubled or, with backslashes, escaped; 0: it does not. */
static size_t quoted_end(const struct scan *s, size_t at, bool backslash)
{
	char quote = s->p[at++];

	for (; at < s->len; at++) {
		if (backslash && s->p[at] == '\\')
			at++;
		else if (s->p[at] == quote && at + 1 < s->len && s->p[at + 1] == quote)
			at++;
		else if (s->p[at] == quote)
			return at + 1;
	}
	return 0;
}

static void string(struct scan *s, size_t prefix, bool backslash)
{
	size_t end = quoted_end(s, s->at + prefix, backslash);

	s->at = end ? end : s->len;
	/* two in a row are one: 'a' 'b' */
	if (s->last != VALUE)
		put_value(s);
}

/* What is between quotes could stand without them. */
static bool is_plain(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!(p[i] >= 'a' && p[i] <= 'z') && p[i] != '_' && !(i && is_digit(p[i])))
			return false;
	return len > 0;
}

/* "name", `name` or [name]; one without an end may be anything. */
static void quoted_name(struct scan *s)
{
	const char *bracket = peek(s, 0) == '[' ? memchr(s->p + s->at, ']', s->len - s->at) : NULL;
	size_t end = bracket ? (size_t)(bracket - s->p) + 1 : peek(s, 0) == '[' ? 0 : quoted_end(s, s->at, false);

	if (!end) {
		s->at = s->len;
		put_value(s);
		return;
	}
	before(s, WORD);
	/* quotes that change nothing do not tell statements apart */
	if (is_plain(s->p + s->at + 1, end - s->at - 2))
		pa_normal_put(&s->out, s->p + s->at + 1, end - s->at - 2);
	else
		for (size_t at = s->at; at < end;)
			at += pa_normal_put_char(&s->out, s->p + at, end - at);
	s->at = end;
	s->word[0] = 0;
	s->last = WORD;
}

/* $tag$...$tag$. False: this is none. */
static bool dollar_string(struct scan *s)
{
	size_t tag = 1, end;

	if (peek(s, 1) != '$' && !begins_word(peek(s, 1)))
		return false;
	while (tag < NAME_MAX && in_word(peek(s, tag)) && peek(s, tag) != '$')
		tag++;
	if (peek(s, tag++) != '$')
		return false;
	for (end = s->at + tag; end + tag <= s->len; end++)
		if (s->p[end] == '$' && !memcmp(s->p + end, s->p + s->at, tag))
			break;
	s->at = end + tag <= s->len ? end + tag : s->len;
	put_value(s);
	return true;
}

static void number(struct scan *s)
{
	while (in_word(peek(s, 0)) || peek(s, 0) == '.') {
		bool exponent = (peek(s, 0) | 0x20) == 'e' && (peek(s, 1) == '+' || peek(s, 1) == '-') &&
				is_digit(peek(s, 2));

		s->at += exponent ? 2 : 1;
	}
	put_value(s);
}

/* Reads a word into s->word. Returns its length. */
static size_t read_word(struct scan *s)
{
	size_t len = 0;

	while (in_word(peek(s, len)))
		len++;
	s->word[0] = 0;
	if (len < WORD_MAX) {
		for (size_t i = 0; i < len; i++)
			s->word[i] = (char)(peek(s, i) >= 'A' && peek(s, i) <= 'Z' ? peek(s, i) | 0x20 : peek(s, i));
		s->word[len] = 0;
	}
	return len;
}

static void put_word(struct scan *s, size_t len)
{
	size_t end = s->at + len;

	before(s, WORD);
	while (s->at < end) {
		char small = (char)(s->p[s->at] | 0x20);

		if (s->p[s->at] >= 'A' && s->p[s->at] <= 'Z') {
			pa_normal_put(&s->out, &small, 1);
			s->at++;
		} else {
			s->at += pa_normal_put_char(&s->out, s->p + s->at, end - s->at);
		}
	}
	s->last = s->last != DOT && is_word(s, keywords) ? KEYWORD : WORD;
	if (s->last == KEYWORD && is_word(s, "values")) {
		PA_NORMAL_PUT(&s->out, " ");
		list_push(s, true, true);
		s->last = OPEN;
	}
}

static void word(struct scan *s)
{
	bool kept = s->last == KEYWORD && is_word(s, "is not default");
	size_t len = read_word(s);
	char next = peek(s, len);

	if (next == '\'' && (is_word(s, "e n x b") || (s->dialect == PA_SQL_MYSQL && peek(s, 0) == '_'))) {
		string(s, len, s->dialect == PA_SQL_MYSQL || is_word(s, "e"));
	} else if (is_word(s, "u") && next == '&' && peek(s, len + 1) == '\'') {
		string(s, len + 1, false);
	} else if (is_word(s, "null true false") && !kept) {
		s->at += len;
		put_value(s);
	} else {
		put_word(s, len);
	}
}

/* Steps over a comment. False: this is none. */
static bool comment(struct scan *s)
{
	char c = peek(s, 0), next = peek(s, 1);
	unsigned depth = 0;

	if ((c == '-' && next == '-' && (s->dialect != PA_SQL_MYSQL || is_space(peek(s, 2)))) ||
	    (c == '#' && s->dialect == PA_SQL_MYSQL)) {
		while (s->at < s->len && s->p[s->at] != '\n')
			s->at++;
		return true;
	}
	if (c != '/' || next != '*')
		return false;
	while (s->at < s->len) {
		if (peek(s, 0) == '/' && peek(s, 1) == '*' && (!depth || s->dialect == PA_SQL_POSTGRES)) {
			depth++;
			s->at += 2;
		} else if (peek(s, 0) == '*' && peek(s, 1) == '/') {
			s->at += 2;
			if (!--depth)
				return true;
		} else {
			s->at++;
		}
	}
	return true;
}

/* ---- operators and placeholders --------------------------------------------------------------------------------- */

/* ?, ?1, $1, %s, %(name)s, :name, @name of SQLite. 0: no placeholder, else its length. */
static size_t placeholder(const struct scan *s)
{
	char c = peek(s, 0), next = peek(s, 1);
	size_t len = 1;

	if (c == '$' && !is_digit(next))
		return 0;
	if (c == '%' && next == '(') {
		while (len < NAME_MAX && s->at + len < s->len && peek(s, len) != ')')
			len++;
		return peek(s, len + 1) == 's' ? len + 2 : 0;
	}
	if (c == '%')
		return next == 's' && !in_word(peek(s, 2)) ? 2 : 0;
	if ((c == ':' || (c == '@' && s->dialect == PA_SQL_SQLITE)) && !in_word(next))
		return 0;
	if (c != '?' && c != '$' && c != ':' && !(c == '@' && s->dialect == PA_SQL_SQLITE))
		return 0;
	while (c == '?' ? is_digit(peek(s, len)) : in_word(peek(s, len)))
		len++;
	return len;
}

/* Length of the operator here. As in PostgreSQL + and - do not end one of several characters, but for some. */
static size_t operator_len(const struct scan *s)
{
	static const char chars[] = "+-*/<>=~!@#%^&|`?";
	size_t len = 0;
	bool odd = false;

	while (peek(s, len) && strchr(chars, peek(s, len))) {
		char c = peek(s, len), next = peek(s, len + 1);

		if (len &&
		    ((c == '-' && next == '-') || (c == '/' && next == '*') || (c == '?' && peek(s, len - 1) != '@') ||
		     (c == '%' && (next == '(' || (next == 's' && !in_word(peek(s, len + 2)))))))
			break;
		odd = odd || strchr("~!@#%^&|`?", c);
		len++;
	}
	while (len > 1 && !odd && (peek(s, len - 1) == '+' || peek(s, len - 1) == '-'))
		len--;
	return len ? len : 1;
}

static void other(struct scan *s)
{
	size_t len = placeholder(s);
	char c = peek(s, 0);

	if (c == ':' && peek(s, 1) == ':') {
		before(s, CAST);
		PA_NORMAL_PUT(&s->out, "::");
		s->last = CAST;
		s->at += 2;
	} else if (len && (c == '$' || expects_operand(s))) {
		s->at += len;
		put_value(s);
	} else if (c == '@' && s->dialect == PA_SQL_MYSQL) {
		s->word[0] = 0;
		for (len = 1; in_word(peek(s, len)) || peek(s, len) == '@'; len++)
			;
		put_word(s, len);
	} else {
		len = operator_len(s);
		if (len == 1 && (c == '-' || c == '+') && expects_operand(s) &&
		    (is_digit(peek(s, 1)) || (peek(s, 1) == '.' && is_digit(peek(s, 2))))) {
			s->at++;
			number(s);
		} else {
			put_operator(s, len);
		}
	}
}

static void token(struct scan *s)
{
	char c = peek(s, 0);

	if (is_space(c)) {
		s->at++;
	} else if (comment(s)) {
		return;
	} else if (c == '\'' || (c == '"' && s->dialect == PA_SQL_MYSQL)) {
		string(s, 0, s->dialect == PA_SQL_MYSQL);
	} else if (c == '"' || (c == '`' && s->dialect != PA_SQL_POSTGRES) ||
		   (c == '[' && s->dialect == PA_SQL_SQLITE)) {
		quoted_name(s);
	} else if (c == '$' && s->dialect == PA_SQL_POSTGRES && dollar_string(s)) {
		return;
	} else if (is_digit(c) || (c == '.' && is_digit(peek(s, 1)) && expects_operand(s))) {
		number(s);
	} else if (begins_word(c)) {
		word(s);
	} else if (c == '(' || c == '[') {
		put_open(s, c == '[');
	} else if (c == ')' || c == ']') {
		put_close(s, c == ']');
	} else if (c == ',') {
		put_comma(s);
	} else if (c == '.') {
		before(s, DOT);
		PA_NORMAL_PUT(&s->out, ".");
		s->last = DOT;
		s->at++;
	} else if (c == ';') {
		rows_end(s);
		s->semicolon = true;
		s->at++;
	} else {
		other(s);
	}
}

size_t pa_normalize_sql(enum pa_dialect dialect, const char *sql, size_t len, bool cut, char *out, size_t size,
			uint64_t *fingerprint)
{
	struct scan s = {.dialect = dialect, .p = sql, .len = len, .last = START};

	pa_normal_init(&s.out, out, size);
	while (s.at < s.len)
		token(&s);
	if (cut)
		cut_end(&s);
	else
		rows_end(&s);
	return pa_normal_end(&s.out, fingerprint);
}
