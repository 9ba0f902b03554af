package pool

// CommandFact is what a server's reply to COMMAND says of one command.
type CommandFact struct {
	Name              string
	Arity             int
	Flags             []string
	Marks             []string // its ACL categories ("@admin"), and the flags and categories of its subcommands
	First, Last, Step int      // where its keys are
}

// SetCommands records what the servers' COMMAND says. The caller must not change facts
// afterwards.
func (p *Pool) SetCommands(facts []CommandFact) { p.commands.Store(&facts) }

// Commands returns what the servers' COMMAND says, or nil while it is not known. The
// pointer changes when the servers say something else.
func (p *Pool) Commands() *[]CommandFact { return p.commands.Load() }
