package conf

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// refuseURL returns an error that says what to write instead of a URL; nil if the
// address is not one. The error does not show the URL's user and password.
func refuseURL(address, defaultPort string) error {
	scheme, rest, is := strings.Cut(address, "://")
	if !is {
		if path, unix := strings.CutPrefix(address, "unix:"); unix {
			return errors.New(`want the path alone: "` + path + `"`)
		}
		return nil
	}
	if scheme == "unix" {
		return errors.New(`is a URL; want the path alone: "` + withoutCredentials("://" + rest)[len("://"):] + `"`)
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return errors.New(`is a URL; want "host:port", and user, password and database in redis_user, redis_auth and redis_db`)
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	message := `is a URL; want "` + net.JoinHostPort(u.Hostname(), port) + `"`
	var others []string
	if u.User.Username() != "" {
		others = append(others, "the user in redis_user")
	}
	if _, has := u.User.Password(); has {
		others = append(others, "the password in redis_auth")
	}
	if db := strings.Trim(u.Path, "/"); isDigits(db) && db != "0" {
		others = append(others, "redis_db = "+db)
	}
	if scheme == "rediss" || scheme == "valkeys" {
		others = append(others, "server_tls = {}")
	}
	if others != nil {
		message += ", and " + listed(others, "and")
	}
	return errors.New(message)
}
