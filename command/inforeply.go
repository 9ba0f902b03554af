package command

// flagWords has the words of COMMAND for the bits of Flags, lowest first.
var flagWords = [...]string{
	"write", "readonly", "denyoom", "module", "admin", "pubsub", "noscript", "blocking", "loading", "stale",
	"skip_monitor", "skip_slowlog", "asking", "fast", "no_auth", "may_replicate", "no_async_loading", "no_multi",
	"movablekeys", "allow_busy", "no_mandatory_keys",
}

// words returns the words of COMMAND for f.
func (f Flags) words() []string {
	var words []string
	for i, word := range flagWords {
		if f&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return words
}

// info answers COMMAND INFO name...; no names means all.
func (r *replyBuilder) info(names [][]byte) {
	switch {
	case len(names) == 0:
		r.infoOfAll()
		return
	case len(names) > Count():
		r.replyError(errTooManyNames)
		return
	}
	r.array(len(names))
	for _, name := range names {
		if c := r.lookup(name); c != nil {
			r.infoOf(c)
		} else {
			r.null()
		}
	}
}

// infoOfAll answers COMMAND.
func (r *replyBuilder) infoOfAll() {
	all := r.accepted()
	r.array(len(all))
	for _, c := range all {
		r.infoOf(c)
	}
}

// infoOf appends the ten elements that Redis 7 gives for a command: name, arity,
// flags, first key, last key, step, ACL categories, tips, key specifications and
// subcommands.
func (r *replyBuilder) infoOf(c *Command) {
	r.array(10)
	r.bulk(c.Name)
	r.integer(c.Arity)
	r.simples(c.Flags.words())
	r.integer(c.FirstKey)
	r.integer(c.LastKey)
	r.integer(c.Step)
	r.set(len(c.acl))
	for _, category := range c.acl {
		r.simple("@" + category)
	}
	r.set(len(c.tips))
	for _, tip := range c.tips {
		r.bulk(tip)
	}
	r.set(len(c.specs))
	for i := range c.specs {
		r.spec(&c.specs[i])
	}
	subs := r.acceptedSubcommands(c)
	if len(subs) == 0 {
		r.set(0) // a set only if empty: that is how Redis 7.0 has it
		return
	}
	r.array(len(subs))
	for _, sub := range subs {
		r.infoOf(sub)
	}
}

// spec appends one key specification: a map of flags, begin_search, find_keys.
func (r *replyBuilder) spec(s *keySpec) {
	r.pairs(3)
	r.bulk("flags")
	r.simples(s.flags)
	r.bulk("begin_search")
	r.pairs(2)
	r.bulk("type")
	switch s.begin {
	case beginIndex:
		r.bulk("index")
		r.bulk("spec")
		r.pairs(1)
		r.number("index", s.index)
	case beginKeyword:
		r.bulk("keyword")
		r.bulk("spec")
		r.pairs(2)
		r.bulk("keyword")
		r.bulk(s.keyword)
		r.number("startfrom", s.index)
	case beginUnknown:
		r.unknownSpec()
	}
	r.bulk("find_keys")
	r.pairs(2)
	r.bulk("type")
	switch s.find {
	case specRange:
		r.bulk("range")
		r.bulk("spec")
		r.pairs(3)
		r.number("lastkey", s.a)
		r.number("keystep", s.b)
		r.number("limit", s.c)
	case specKeynum:
		r.bulk("keynum")
		r.bulk("spec")
		r.pairs(3)
		r.number("keynumidx", s.a)
		r.number("firstkey", s.b)
		r.number("keystep", s.c)
	case specUnknown:
		r.unknownSpec()
	}
}

func (r *replyBuilder) number(name string, n int) {
	r.bulk(name)
	r.integer(n)
}

func (r *replyBuilder) unknownSpec() {
	r.bulk("unknown")
	r.bulk("spec")
	r.pairs(0)
}

// docs answers COMMAND DOCS name...; no names means all, unknown ones are left
// out.
func (r *replyBuilder) docs(names [][]byte) {
	if len(names) > Count() {
		r.replyError(errTooManyNames)
		return
	}
	var all []*Command
	for _, name := range names {
		if c := r.lookup(name); c != nil {
			all = append(all, c)
		}
	}
	if len(names) == 0 {
		all = r.accepted()
	}
	r.pairs(len(all))
	for _, c := range all {
		r.docsOf(c)
	}
}

// docsOf appends the name of c and a map about it.
func (r *replyBuilder) docsOf(c *Command) {
	subs := r.acceptedSubcommands(c)
	r.bulk(c.Name)
	fields := 3
	if len(subs) > 0 {
		fields++
	}
	r.pairs(fields)
	r.bulk("summary")
	r.bulk(c.summary())
	r.bulk("since")
	r.bulk(c.Since)
	r.bulk("group")
	r.bulk(c.Group)
	if len(subs) > 0 {
		r.bulk("subcommands")
		r.pairs(len(subs))
		for _, sub := range subs {
			r.docsOf(sub)
		}
	}
}

// summary says what the proxy does with the command; what the command does is in Redis's
// documentation.
func (c *Command) summary() string {
	switch {
	case c.IsContainer():
		return "A family of subcommands."
	case c.Route == Local:
		return "Answered by the proxy."
	case c.Route == Split:
		return "Split over the shards of its keys; the replies become one: " + c.Join.String() + "."
	case c.Route == AllShards:
		return "Sent to all shards; the replies become one: " + c.Join.String() + "."
	case c.Route == DefaultShard:
		return "Sent to the default shard."
	case c.Route == ScanShards:
		return "Sent to one shard after the other, as the cursor says."
	case c.Route == PubSub:
		return "Heard by the proxy on behalf of all its clients."
	case c.Flags&FlagPubSub != 0:
		return "Sent to the shard of its channel."
	case c.SoleKey != 0:
		return "Sent to the shard of its key."
	}
	return "Sent to the shard that has all its keys."
}
