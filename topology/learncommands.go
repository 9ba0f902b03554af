package topology

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"time"

	"ringway/conf"
	"ringway/pool"
)

// relearnEvery is how often servers are asked for their commands: a module that is loaded
// while the proxy runs is unknown for that long at most.
const relearnEvery = 30 * time.Second

// learnCommands asks the servers for their commands again and again, until the Prober is
// stopped, and tells the pool when they have changed. The first server that answers is
// believed.
func (pr *Prober) learnCommands(p *pool.Pool, servers func() []conf.Server) {
	var known []pool.CommandFact
	for {
		for _, s := range servers() {
			facts := pr.commands(p.Conf(), &s)
			if facts == nil {
				continue
			}
			if !reflect.DeepEqual(facts, known) {
				known = facts
				p.SetCommands(facts)
			}
			break
		}
		if !pr.sleep(relearnEvery) {
			return
		}
	}
}

// commands asks one server for its commands and returns them sorted by name, nil if it does
// not answer.
func (pr *Prober) commands(c *conf.Pool, s *conf.Server) (facts []pool.CommandFact) {
	client := NewClient(pr.ctx, c, s)
	defer client.Close()
	ctx, cancel := context.WithTimeout(pr.ctx, c.ConnectTimeout)
	defer cancel()
	infos, err := client.Do(ctx, "COMMAND").Slice()
	if err != nil {
		return nil
	}
	for _, info := range infos {
		if f, ok := factOf(info); ok {
			facts = append(facts, f)
		}
	}
	slices.SortFunc(facts, func(a, b pool.CommandFact) int { return cmp.Compare(a.Name, b.Name) })
	return facts
}

// factOf reads the entry of one command in the reply to COMMAND. Servers before Redis 6 tell
// no ACL categories, and those before Redis 7 no subcommands.
func factOf(info any) (f pool.CommandFact, ok bool) {
	fields, _ := info.([]any)
	if len(fields) < 6 {
		return f, false
	}
	f.Name, ok = fields[0].(string)
	f.Flags = texts(fields[2])
	for i, to := range map[int]*int{1: &f.Arity, 3: &f.First, 4: &f.Last, 5: &f.Step} {
		n, isInt := fields[i].(int64)
		*to, ok = int(n), ok && isInt
	}
	if len(fields) > 6 {
		f.Marks = texts(fields[6])
	}
	if len(fields) > 9 {
		subcommands, _ := fields[9].([]any)
		for _, sub := range subcommands {
			if s, isSub := factOf(sub); isSub {
				f.Marks = append(append(f.Marks, s.Flags...), s.Marks...)
			}
		}
	}
	slices.Sort(f.Marks)
	f.Marks = slices.Compact(f.Marks)
	return f, ok
}

// texts returns the strings of an array.
func texts(array any) (words []string) {
	elements, _ := array.([]any)
	for _, e := range elements {
		if word, ok := e.(string); ok {
			words = append(words, word)
		}
	}
	return words
}
