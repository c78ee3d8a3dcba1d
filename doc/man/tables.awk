# Puts what the program says of itself into its manual pages, in scdoc: a line "@COMMANDS@"
# stands for the subcommands and their options, "@OPTIONS@" for the configuration's.
#     pannier completion table >COMMANDS; pannier check --reference >OPTIONS
#     awk -v commands=COMMANDS -v options=OPTIONS -f tables.awk pannier.1.scd.in

function plain(s,    i, c, out) {
	out = ""
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		out = out (index("\\*_`", c) > 0 ? "\\" c : c)
	}
	return out
}

# A name, and what is said of it below; `more` may be empty.
function entry(name, text, more) {
	print name
	print "\t" plain(text)
	if (more != "")
		print "\n\t" more
	print ""
}

# --- commands: of options of the configuration those of serve are told ---

function command_line(line,    f, head) {
	split(line, f, "\t")
	if (f[2] == "") {
		told = 0
		print "## pannier " f[1] " " plain(f[4]) "\n\n" plain(f[5]) "\n"
	} else if (f[1] == "check" && f[2] == "listen") {
		told = 1
		print "All other options are those of *pannier serve*.\n"
	} else if (!told) {
		head = (f[3] != "" ? "*-" f[3] "*, " : "") "*--" f[2] "*"
		entry(head (f[4] != "" ? "=_" plain(f[4]) "_" : ""), f[5], "")
	}
}

# --- options: tables of Markdown, of which the first has its prose below ---

# Without the blanks and backticks around it.
function cell(s) {
	gsub(/^ +| +$/, "", s)
	gsub(/^`|`$/, "", s)
	return s
}

function facts(type, def, values,    out) {
	out = "Value: " cell(type)
	if (cell(values) != "")
		out = out "; " cell(values)
	if (cell(def) != "")
		out = out "; default: " cell(def)
	return plain(out)
}

function table_row(line,    f, key, needed) {
	split(line, f, "|")
	key = f[2]
	needed = sub(/, needed/, "", key)
	key = cell(key)
	if (key == "option" || key == "key" || key ~ /^-+$/)
		return
	if (!first)
		entry("*" plain(key) "*", cell(f[6]), facts(f[3], f[4], f[5]) \
		    (needed ? "; it must be there." : "."))
	else
		known[key] = facts(f[3], f[4], f[5]) \
		    (cell(f[6]) == "yes" ? "; may change while running" : "") \
		    (cell(f[7]) != "" ? "; Redis calls it " plain(cell(f[7])) : "") "."
}

function option_line(line,    key) {
	if (line ~ /^### /) {
		first = line == "### Options"
		if (!first)
			print "# " toupper(cell(substr(line, 5))) "\n"
	} else if (line ~ /^\|/) {
		table_row(line)
	} else if (line ~ /^- `/) {
		key = substr(line, 4)
		sub(/`:.*/, "", key)
		sub(/^- `[^`]*`: /, "", line)
		entry("*" plain(key) "*", line, known[key])
	} else if (line != "") {
		print plain(line) "\n"
	}
}

$0 == "@COMMANDS@" {
	while ((getline line < commands) > 0)
		command_line(line)
	next
}
$0 == "@OPTIONS@" {
	while ((getline line < options) > 0)
		option_line(line)
	next
}
{ print }
