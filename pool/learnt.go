package pool

// CommandFact is what a server's COMMAND says of one command.
type CommandFact struct {
	Name              string
	Arity             int
	Flags             []string
	Marks             []string // its ACL categories ("@admin"), and the flags and categories of its subcommands
	First, Last, Step int      // where its keys are
}

// SetCommands records what the servers say of their commands.
func (p *Pool) SetCommands(facts []CommandFact) { p.commands.Store(&facts) }

// Commands is what the servers say of their commands, or nil if none has told.
// The pointer changes when they say something else.
func (p *Pool) Commands() *[]CommandFact { return p.commands.Load() }
