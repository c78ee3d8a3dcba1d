#include "config.h"

#include "cli/top_ui.h"

#include <string.h>

#include "cli/top_rows.h"

#define ESCAPE 27

void
top_ui_init(struct top_ui *ui, int interval_ms)
{
	*ui = (struct top_ui){ .interval_ms = interval_ms };
	ui->order[TOP_NAMESPACES].column = 1; /* reads a second */
	ui->order[TOP_ORIGINS].column = 2;    /* requests a second */
	ui->order[TOP_COMMANDS].column = 1;   /* calls a second */
}

void
top_ui_remember(struct top_ui *ui, const struct top_sample *s)
{
	int64_t hits = s->totals.n[TOTAL_hits], reads = hits + s->totals.n[TOTAL_misses];
	unsigned last = MIN(ui->n_history, TOP_HISTORY - 1);

	if (s->since_start)
		return;
	if (ui->n_history == TOP_HISTORY) {
		memmove(ui->rates, ui->rates + 1, last * sizeof *ui->rates);
		memmove(ui->hit_rates, ui->hit_rates + 1, last * sizeof *ui->hit_rates);
	}
	ui->rates[last] = top_rate(s, s->totals.n[TOTAL_commands]);
	ui->hit_rates[last] = reads > 0 ? (double)hits / (double)reads : -1;
	ui->n_history = last + 1;
}

/* --- keys -------------------------------------------------------------------------------- */

static void
type(struct top_ui *ui, int key)
{
	size_t len = strlen(ui->filter);

	if (key == '\n' || key == '\r') {
		ui->typing = false;
	} else if (key == ESCAPE) {
		ui->typing = false;
		ui->filter[0] = '\0';
	} else if (key == TOP_KEY_BACKSPACE || key == '\b' || key == 0x7f) {
		/* A whole character of UTF-8. */
		while (len > 0 && ((unsigned char)ui->filter[--len] & 0xc0) == 0x80)
			;
		ui->filter[len] = '\0';
	} else if (key >= ' ' && key <= 0xff && len + 1 < sizeof ui->filter) {
		ui->filter[len] = (char)key;
		ui->filter[len + 1] = '\0';
	}
}

/* The table whose order `s` changes. */
static enum top_table_id
table_of(enum top_pane pane)
{
	if (pane == PANE_ORIGINS)
		return TOP_ORIGINS;
	return pane == PANE_COMMANDS ? TOP_COMMANDS : TOP_NAMESPACES;
}

static void
change_order(struct top_ui *ui, int key)
{
	struct top_order *o = &ui->order[table_of(ui->pane)];
	unsigned n = top_shown_columns(table_of(ui->pane));

	if (key == 'r')
		o->reverse = !o->reverse;
	else
		o->column = (o->column + (key == 's' || key == '>' ? 1 : n - 1)) % n;
}

/* Steps that people say: 100 ms, 200, 500, 1 s ... */
static void
change_interval(struct top_ui *ui, bool longer)
{
	static const int steps[] = { TOP_INTERVAL_MIN_MS, 200, 500, 1000, 2000, 5000, 10000, 30000,
		60000, 300000, TOP_INTERVAL_MAX_MS };
	unsigned i = 0;

	while (i + 1 < ARRAY_LEN(steps) && steps[i] < ui->interval_ms)
		i++;
	if (longer && steps[i] <= ui->interval_ms && i + 1 < ARRAY_LEN(steps))
		i++;
	else if (!longer && i > 0)
		i--;
	ui->interval_ms = steps[i];
}

static void
show_pane(struct top_ui *ui, enum top_pane pane)
{
	ui->pane = pane;
	ui->scroll = 0;
}

/* Where it ends is known to who draws. */
static void
scroll(struct top_ui *ui, int by)
{
	ui->scroll = by < 0 && (unsigned)-by > ui->scroll ? 0 : ui->scroll + (unsigned)by;
}

static bool
move(struct top_ui *ui, int key, int page_lines)
{
	switch (key) {
	case TOP_KEY_UP:
	case 'k':
		scroll(ui, -1);
		return true;
	case TOP_KEY_DOWN:
	case 'j':
		scroll(ui, 1);
		return true;
	case TOP_KEY_PAGE_UP:
		scroll(ui, -page_lines);
		return true;
	case TOP_KEY_PAGE_DOWN:
		scroll(ui, page_lines);
		return true;
	case TOP_KEY_HOME:
	case 'g':
		ui->scroll = 0;
		return true;
	case TOP_KEY_END:
	case 'G':
		ui->scroll = UINT16_MAX;
		return true;
	default:
		return false;
	}
}

static void
command(struct top_ui *ui, int key)
{
	switch (key) {
	case 'q':
		ui->quit = true;
		break;
	case 'h':
	case '?':
		ui->help = true;
		break;
	case ' ':
	case 'p':
		ui->paused = !ui->paused;
		break;
	case '+':
	case '=':
	case '-':
		change_interval(ui, key != '-');
		break;
	case '\t':
	case TOP_KEY_NEXT:
		show_pane(ui, (ui->pane + 1) % PANES);
		break;
	case TOP_KEY_BACK:
		show_pane(ui, (ui->pane + PANES - 1) % PANES);
		break;
	case '/':
		ui->typing = true;
		break;
	case ESCAPE:
		ui->filter[0] = '\0';
		break;
	case 's':
	case 'S':
	case '<':
	case '>':
	case 'r':
		change_order(ui, key);
		break;
	default:
		if (key >= '1' && key < '1' + PANES)
			show_pane(ui, (enum top_pane)(key - '1'));
	}
}

void
top_ui_key(struct top_ui *ui, int key, unsigned page_lines)
{
	if (ui->help) {
		ui->help = false;
		ui->quit = key == 'q';
	} else if (ui->typing) {
		type(ui, key);
	} else if (!move(ui, key, (int)MAX(page_lines, 1))) {
		command(ui, key);
	}
}
