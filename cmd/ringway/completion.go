package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

const completionHelp = `ringway completion prints a script that completes commands, flags and file names.

usage:
  ringway completion bash|zsh|fish

For this shell, and for all later ones:
  bash:  source <(ringway completion bash)
         ringway completion bash > /usr/share/bash-completion/completions/ringway
  zsh:   ringway completion zsh > /usr/share/zsh/vendor-completions/_ringway
  fish:  ringway completion fish > ~/.config/fish/completions/ringway.fish
`

func runCompletion(s streams, args []string) int {
	fs := newFlags("completion")
	if code, done := s.parse(fs, args, completionHelp); done {
		return code
	}
	scripts := map[string]func(w io.Writer, all []completedCommand){"bash": completeBash, "zsh": completeZsh, "fish": completeFish}
	script := scripts[fs.Arg(0)]
	if script == nil || fs.NArg() != 1 {
		return s.usage("completion", fmt.Errorf("argument %q: want bash, zsh or fish", strings.Join(fs.Args(), " ")))
	}
	script(s.out, completedCommands())
	return exitOK
}

// A completedCommand is a command with the flags that its help lists.
type completedCommand struct {
	name, about string
	flags       []completedFlag
}

// A completedFlag is a flag as the help has it.
type completedFlag struct {
	name  string // with its hyphens
	value string // the word for its value, "FILE" of a file; "" if it has none
	about string
}

// flagLine is a line of the help that begins with a flag. The two spaces before the text keep it apart from the value.
var flagLine = regexp.MustCompile(`(?m)^  (--?[A-Za-z][A-Za-z-]*)(?: (\S+))?(?:\s{2,}(.*))?$`)

// completedCommands returns all commands, and first the one without a name: to serve.
func completedCommands() []completedCommand {
	all := []completedCommand{{}}
	for _, c := range subcommands() {
		all = append(all, completedCommand{name: c.name, about: c.about})
	}
	for i := range all {
		if all[i].name == "completion" {
			continue // has none, and this is it
		}
		var help strings.Builder
		run(append(strings.Fields(all[i].name), "--help"), strings.NewReader(""), &help, io.Discard)
		for _, found := range flagLine.FindAllStringSubmatch(help.String(), -1) {
			all[i].flags = append(all[i].flags, completedFlag{found[1], found[2], found[3]})
		}
	}
	return all
}

// words returns the names of a command's flags, separated by spaces.
func (c *completedCommand) words() string {
	var names []string
	for _, f := range c.flags {
		names = append(names, f.name)
	}
	return strings.Join(names, " ")
}

// fileFlags returns the flags that want a file, as a pattern of case.
func fileFlags(all []completedCommand) string {
	var names []string
	for _, c := range all {
		for _, f := range c.flags {
			if f.value == "FILE" && !slices.Contains(names, f.name) {
				names = append(names, f.name)
			}
		}
	}
	return strings.Join(names, "|")
}

// completeBash prints a function for bash's complete. After a flag that wants a file, and where nothing fits, bash completes
// file names (-o default).
func completeBash(w io.Writer, all []completedCommand) {
	fmt.Fprint(w, "# Completion for bash: source <(ringway completion bash)\n_ringway() {\n\tlocal words=\n\tCOMPREPLY=()\n"+
		"\tcase ${COMP_WORDS[COMP_CWORD-1]} in "+fileFlags(all)+") return ;; esac\n"+
		"\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"")
	for _, c := range all {
		fmt.Fprint(w, c.name, " ")
	}
	fmt.Fprintf(w, "%s\"\n\telse\n\t\tcase ${COMP_WORDS[1]} in\n", all[0].words())
	for _, c := range all[1:] {
		if c.name == "help" || c.name == "completion" {
			continue
		}
		fmt.Fprintf(w, "\t\t%s) words=\"%s\" ;;\n", c.name, c.words())
	}
	fmt.Fprint(w, "\t\thelp) words=\"")
	fmt.Fprint(w, strings.Join(commandNames(), " "))
	fmt.Fprintf(w, "\" ;;\n\t\tcompletion) words=\"bash zsh fish\" ;;\n\t\t-*) words=\"%s\" ;;\n\t\tesac\n\tfi\n", all[0].words())
	fmt.Fprint(w, "\tCOMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\ncomplete -o default -F _ringway ringway\n")
}

// completeZsh prints a file for zsh's fpath.
func completeZsh(w io.Writer, all []completedCommand) {
	fmt.Fprint(w, "#compdef ringway\n# Completion for zsh: save it as _ringway in a directory of $fpath\nlocal -a words_\ncase $words[CURRENT-1] in "+fileFlags(all)+") _files; return ;; esac\n"+
		"if (( CURRENT == 2 )); then\n\twords_=(\n")
	for _, c := range all[1:] {
		fmt.Fprintf(w, "\t\t%s\n", singleQuoted(c.name+":"+c.about))
	}
	fmt.Fprint(w, "\t)\n\t_describe command words_\n\twords_=(", zshFlags(all[0].flags), ")\nelse\n\tcase $words[2] in\n")
	for _, c := range all[1:] {
		if len(c.flags) > 0 && c.name != "help" {
			fmt.Fprintf(w, "\t%s) words_=(%s) ;;\n", c.name, zshFlags(c.flags))
		}
	}
	fmt.Fprintf(w, "\thelp) words_=(%s) ;;\n\tcompletion) words_=(bash zsh fish) ;;\n\tesac\nfi\n_describe flag words_ || _files\n", strings.Join(commandNames(), " "))
}

func zshFlags(flags []completedFlag) string {
	var all []string
	for _, f := range flags {
		all = append(all, singleQuoted(f.name+":"+f.about))
	}
	return strings.Join(all, " ")
}

// completeFish prints commands for fish's complete.
func completeFish(w io.Writer, all []completedCommand) {
	fmt.Fprintln(w, "# Completion for fish: save it as ~/.config/fish/completions/ringway.fish")
	for _, c := range all {
		where := "__fish_use_subcommand"
		if c.name != "" {
			fmt.Fprintf(w, "complete -c ringway -f -n __fish_use_subcommand -a %s -d %s\n", c.name, singleQuoted(c.about))
			where = "'__fish_seen_subcommand_from " + c.name + "'"
		}
		if c.name == "help" {
			fmt.Fprintf(w, "complete -c ringway -f -n %s -a '%s'\n", where, strings.Join(commandNames(), " "))
			continue
		}
		for _, f := range c.flags {
			name := strings.TrimLeft(f.name, "-")
			kind := "-l " // --name
			if !strings.HasPrefix(f.name, "--") {
				kind = "-o " // -name
			}
			if len(name) == 1 {
				kind = "-s "
			}
			value := ""
			switch f.value {
			case "":
			case "FILE":
				value = " -r -F"
			default:
				value = " -x"
			}
			fmt.Fprintf(w, "complete -c ringway -n %s %s%s%s -d %s\n", where, kind, name, value, singleQuoted(f.about))
		}
	}
	fmt.Fprintln(w, "complete -c ringway -f -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'")
}

// singleQuoted quotes text for all three shells, which know no escapes within single quotes but fish's \' and \\.
func singleQuoted(text string) string {
	return "'" + strings.NewReplacer("'", "’", `\`, "").Replace(text) + "'"
}
