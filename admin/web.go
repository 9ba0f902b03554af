package admin

import (
	"crypto/subtle"
	"net/http"
	"strings"
)

// routes returns the handler of all that the admin address serves over HTTP.
func (a *Admin) routes() http.Handler {
	mux := http.NewServeMux()
	// Health has no password: orchestrators and load balancers rarely have one to give.
	mux.HandleFunc("GET /livez", a.livez)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.Handle("GET /metrics", a.protect(a.metrics()))
	mux.Handle("GET /{$}", a.protect(servePage()))
	mux.Handle("GET /events", a.protect(http.HandlerFunc(a.events)))
	return mux
}

// protect lets a request pass that has the password, if there is one: as the password of any user, or
// as a bearer token.
func (a *Admin) protect(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			password = token
		}
		if !a.passwordIs(password) {
			a.auditRefusal(r, password != "")
			w.Header().Set("WWW-Authenticate", `Basic realm="ringway"`)
			http.Error(w, "want the password of [admin], as that of any user or as bearer token", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// passwordIs reports whether the password is right, in a time that says nothing about it.
func (a *Admin) passwordIs(given string) bool {
	want := a.srv.Conf().Admin.Password
	return want == "" || subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1
}
