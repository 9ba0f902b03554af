// Package handover is what two processes say to each other while a new one takes the place of an old
// one: the messages on their socket, the listening sockets and the clients that go over it, and how
// the new process is started.
//
//	old                                          new
//	Start                                        Inherit
//	Listener …, Start          ───────────▶      reads its configuration, reaches its servers
//	                           ◀───────────      Ready (or Failed, or it ends: nothing has changed)
//	accepts no more; TakeOver  ───────────▶      accepts
//	                           ◀───────────      Serving
//	Offer with a client's socket ─────────▶      can it serve it?
//	                           ◀───────────      Accept or Refuse
//	Yours (or Withdraw)        ───────────▶      serves the client
//	Done, and it ends          ───────────▶
//
// Until Yours a client is the old process's, so the end of the new one costs it nothing.
// docs/adr/0040-upgrades.md says why it is done like this.
package handover
