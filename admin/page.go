package admin

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
)

// The page is one document with all that it needs in it, so that it works where no network is.
// uplot.* are of the npm package uplot 1.6.32, unchanged; page/uplot.LICENSE is its licence.
var (
	//go:embed page/page.html
	pageHTML string
	//go:embed page/page.css
	pageStyle string
	//go:embed page/page.js
	pageScript string
	//go:embed page/uplot.min.js
	plotScript string
	//go:embed page/uplot.min.css
	plotStyle string
)

// page returns the document, and the policy that lets browsers run nothing but its own scripts and
// ask nobody but this address.
func page() (document, policy string) {
	style, plot, script := plotStyle+pageStyle, plotScript, pageScript
	document = strings.NewReplacer("/*style*/", style, "/*plot*/", plot, "/*script*/", script).Replace(pageHTML)
	policy = "default-src 'none'; connect-src 'self'; img-src data:; style-src " + digest(style) + "; script-src " + digest(plot) + " " + digest(script) +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return document, policy
}

// digest returns the source of a Content-Security-Policy that allows an inline element with this text.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// servePage returns the handler of the page.
func servePage() http.Handler {
	document, policy := page()
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		w.Write([]byte(document))
	})
}
