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

// relearnEvery is how long a command of a module that was loaded while the proxy
// runs may stay unknown.
const relearnEvery = 30 * time.Second

// learnCommands asks the servers what commands they have, now and then, until the
// Prober stops.
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

// commands asks one server for its commands, by name. It returns nil if that did
// not work.
func (pr *Prober) commands(c *conf.Pool, s *conf.Server) (facts []pool.CommandFact) {
	client := NewClient(pr.ctx, c, s)
	defer client.Close()
	ctx, cancel := context.WithTimeout(pr.ctx, c.ConnectTimeout)
	defer cancel()
	infos, err := client.Command(ctx).Result()
	if err != nil {
		return nil
	}
	for _, info := range infos {
		facts = append(facts, pool.CommandFact{
			Name: info.Name, Arity: int(info.Arity), Flags: info.Flags,
			First: int(info.FirstKeyPos), Last: int(info.LastKeyPos), Step: int(info.StepCount),
		})
	}
	slices.SortFunc(facts, func(a, b pool.CommandFact) int { return cmp.Compare(a.Name, b.Name) })
	return facts
}
