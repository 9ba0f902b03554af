package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"ringway/acl"
	"ringway/command"
	"ringway/limit"
)

// userTable is a [pools.NAME.users.USER] table on its way into a user.
type userTable struct {
	password                   string
	passwords, rules           []string
	serverUser, serverPassword string
	limits                     *limit.Settings
}

var userSettings = []setting[userTable]{
	{"password", func(v *value, u *userTable) { setSecret(v, &u.password) }},
	{"password_file", func(v *value, u *userTable) { setSecretFile(v, &u.password) }},
	{"passwords", setPasswords},
	{"rules", setRules},
	{"server_user", func(v *value, u *userTable) { setUser(v, &u.serverUser) }},
	{"server_password", func(v *value, u *userTable) { setSecret(v, &u.serverPassword) }},
	{"limits", func(v *value, u *userTable) {
		u.limits = &limit.Settings{}
		setLimits(v, limitSettings, u.limits)
	}},
	{"server_password_file", func(v *value, u *userTable) { setSecretFile(v, &u.serverPassword) }},
}

// setPasswords reads a list of passwords, each of which is as good as the others.
func setPasswords(v *value, u *userTable) {
	list, ok := v.v.([]any)
	if !ok || len(list) != len(v.node.elems) {
		v.failAt(v.node, "is not a list; want passwords in quotes, in brackets")
		return
	}
	for i, e := range list {
		one, password := *v, ""
		one.node, one.v = v.node.elems[i], e
		if setSecret(&one, &password); password != "" {
			u.passwords = append(u.passwords, password)
		}
	}
}

// setRules reads rules, in one string or in a list.
func setRules(v *value, u *userTable) {
	texts := []string{}
	if s, ok := v.v.(string); ok {
		texts = append(texts, s)
	} else {
		v.list("+@read", func(_ *node, s string) error {
			texts = append(texts, s)
			return nil
		})
	}
	for _, text := range texts {
		for _, rule := range strings.Fields(text) {
			if strings.ContainsRune("><#!", rune(rule[0])) {
				v.failAt(v.node, fmt.Sprintf("has a password (%s…); want it in password, password_file or passwords", rule[:1]))
				v.report.secrets = append(v.report.secrets, writtenSecret{v.node, v.table, "rules", false})
				return
			}
			u.rules = append(u.rules, rule)
		}
	}
}

const usersForm = `a table for each user, such as [pools.NAME.users.alice] with password = "..." and rules = "+@read ~app1:*"`

// setUsers reads the users of the proxy.
func setUsers(v *value, p *Pool) {
	table, ok := v.v.(map[string]any)
	if !ok {
		v.fail("want %s", usersForm)
		return
	}
	var all []*acl.User
	for _, name := range v.node.names {
		at := v.node.table[name]
		values, ok := table[name].(map[string]any)
		if !ok {
			v.failAt(at, name+": want "+usersForm)
			continue
		}
		if u, limits := v.user(at, name, values); u != nil {
			all = append(all, u)
			if limits != nil {
				if p.OwnLimits == nil {
					p.OwnLimits = map[string]limit.Settings{}
				}
				p.OwnLimits[name] = *limits
			}
		}
	}
	v.addUsers(p, all)
}

// user reads one user, with limits of its own if it has any; nil after a mistake.
func (v *value) user(at *node, name string, values map[string]any) (*acl.User, *limit.Settings) {
	before := len(v.report.mistakes)
	t := &userTable{}
	read(tableSource{report: v.report, partial: v.partial, node: at, values: values, table: v.table, prefix: v.name + "." + name + "."}, userSettings, t)
	fail := func(err error) { v.failAt(at, name+": "+err.Error()) }
	if (t.serverUser != "") != (t.serverPassword != "") && len(v.report.mistakes) == before && !v.partial {
		fail(errors.New("want server_user and server_password, or neither"))
	}
	u, err := acl.NewUser(name, append([]string{"on"}, t.rules...))
	if err != nil {
		fail(err)
		return nil, nil
	}
	u.ServerUser, u.ServerPassword = t.serverUser, t.serverPassword
	for _, password := range append(t.passwords, t.password) {
		hash, isHash := strings.CutPrefix(password, "#")
		switch {
		case password == "":
		case !isHash:
			u.AddPassword(password)
		case u.AddHash(hash) != nil:
			fail(errors.New("a password that begins with # is a SHA-256: want 64 lower-case hexadecimal digits behind it"))
		}
	}
	if len(v.report.mistakes) > before {
		return nil, nil
	}
	return u, t.limits
}

// maxACLFile is the largest ACL file, in bytes.
const maxACLFile = 16 << 20

// setACLFile reads users from an ACL file of Redis.
func setACLFile(v *value, p *Pool) {
	name := ""
	if v.file(&name); name == "" {
		return
	}
	if !slices.Contains(v.report.files, name) {
		v.report.files = append(v.report.files, name)
	}
	failed := func(err error) {
		v.failAt(v.node, name+": "+err.Error())
		v.report.mistakes[len(v.report.mistakes)-1].Reads = name
	}
	text, err := readACLFile(name)
	if err != nil {
		failed(err)
		return
	}
	users, err := acl.Parse(text)
	if err != nil {
		failed(err)
		return
	}
	v.addUsers(p, users)
}

func readACLFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.New("want a file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxACLFile+1))
	if err == nil && len(text) > maxACLFile {
		err = errors.New("more than " + sizeText(maxACLFile))
	}
	return string(text), err
}

// addUsers adds users to those that the pool has from its other key.
func (v *value) addUsers(p *Pool, all []*acl.User) {
	for _, u := range all {
		if p.Users.Named(u.Name) != nil {
			v.failAt(v.node, fmt.Sprintf("user %q is both in users and in acl_file; want one of them", u.Name))
			return
		}
	}
	p.Users = acl.NewUsers(append(slices.Clone(p.Users.All()), all...))
}

// completeUsers gives the pool its default user, which clients are before they log in, and warns of what
// such a client may do.
func (b *builder) completeUsers(p *Pool, n *node) {
	if p.Users == nil {
		return
	}
	if p.Users.Named(acl.Default) == nil {
		u := acl.Unlimited(acl.Default)
		if u.NoPass = p.RedisAuth == ""; !u.NoPass {
			u.AddPassword(p.RedisAuth)
		}
		p.Users = acl.NewUsers(append(slices.Clone(p.Users.All()), u))
	}
	key := "users"
	if n.table[key] == nil {
		key = "acl_file"
	}
	if !p.limitsStrangers() && !n.hasSecret("redis_auth") && !b.partial {
		b.report.warn(n.table[key].key, poolTable(p.Name), key+": clients that do not log in are the user default, who may do everything; want redis_auth, or a user default with rules = \"off\" or few rights")
	}
	var scripts []string
	for _, u := range p.Users.All() {
		if at := userNode(n, u.Name); at != nil && u.On && !u.NoPass && !u.HasPassword() && !p.CertificatesNameUsers() && !b.partial {
			b.report.warn(at.key, poolTable(p.Name), fmt.Sprintf("users.%s: nobody can log in as this user, who has no password; want password, or \"off\" or \"nopass\" among the rules", u.Name))
		}
		if !u.IsUnlimited() && u.ServerUser == "" && u.Rights(command.ByName("eval")) != acl.Never {
			scripts = append(scripts, u.Name)
		}
	}
	if len(scripts) > 0 {
		b.report.warn(n.table[key].key, poolTable(p.Name), fmt.Sprintf("%s: what scripts of %s do is not checked, only their keys; want server_user with a user that the servers limit, or -@scripting", key, strings.Join(scripts, ", ")))
	}
}

// userNode returns where the text has a user of the key users; nil if that is in an ACL file.
func userNode(n *node, name string) *node {
	if users := n.table["users"]; users != nil {
		return users.table[name]
	}
	return nil
}

// limitsStrangers reports whether clients have to log in as a user of the proxy before they may do everything.
func (p *Pool) limitsStrangers() bool {
	u := p.Users.Named(acl.Default)
	return u != nil && (p.CertificatesNameUsers() || !(u.AcceptsAll() && u.IsUnlimited()))
}

// usersText returns the users without passwords.
func usersText(us *acl.Users) string {
	if us == nil {
		return noneText
	}
	return listText(us.All(), (*acl.User).Shown)
}
