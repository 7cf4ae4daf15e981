package hub

import (
	"net/url"
	"regexp"
	"strings"
)

// webAddresses are how pages of the hub begin, as people paste them.
var webAddresses = regexp.MustCompile(`^(?i:(https?://)?(www\.)?(huggingface\.co|hf\.co)/)`)

// IsName reports whether a name is one of a model on the hub, in a form that [Resolve] reads.
func IsName(name string) bool {
	return strings.HasPrefix(name, Scheme) || webAddresses.MatchString(name)
}

// fromAddress turns the address of a page of the hub into a name that begins with hf://. Other
// names stay as they are.
func fromAddress(name string) (string, error) {
	prefix := webAddresses.FindString(name)
	if prefix == "" {
		return name, nil
	}
	rest, _, _ := strings.Cut(name[len(prefix):], "#")
	rest, _, _ = strings.Cut(rest, "?") // ?download=true
	var parts []string
	for part := range strings.SplitSeq(strings.Trim(rest, "/"), "/") {
		plain, err := url.PathUnescape(part) // a revision such as refs/pr/7 is one part
		if err != nil {
			return "", nameErrorf("hub: %q: %w", name, err)
		}
		parts = append(parts, plain)
	}
	if len(parts) < 2 {
		return "", nameErrorf("hub: %q names no repository: %s", name, wantRef)
	}
	repo := Scheme + parts[0] + "/" + parts[1]
	if len(parts) < 4 {
		return repo, nil // the repository's page, or its list of files
	}
	switch kind, revision, file := parts[2], parts[3], strings.Join(parts[4:], "/"); {
	case kind == "tree" && file == "" && revision != defaultRevision:
		return repo + "@" + revision, nil
	case kind == "tree" && file == "":
		return repo, nil
	case (kind == "blob" || kind == "resolve" || kind == "raw") && revision != defaultRevision:
		return repo + "/" + file + "@" + revision, nil
	case kind == "blob" || kind == "resolve" || kind == "raw":
		return repo + "/" + file, nil
	}
	return "", nameErrorf("hub: %q is not the address of a file or of a repository: %s", name, wantRef)
}

// wish is a model on the hub whose file is not named.
type wish struct {
	Ref          // without File
	quant string // as in Q4_K_M; "": any
}

// repoOnly is a name without a file: hf://OWNER/REPO, with @REVISION and :QUANT behind it in any
// order.
var repoOnly = regexp.MustCompile(`^hf://([^/:@]+)/([^/:@]+)((?:@[^:@]*|:[^/:@]*)*)/?$`)

// parseWish reads a name without a file; ok reports whether it is one.
func parseWish(name string) (w wish, ok bool) {
	m := repoOnly.FindStringSubmatch(name)
	if m == nil {
		return w, false
	}
	w.Ref = Ref{Owner: m[1], Repo: m[2], Revision: defaultRevision}
	for _, behind := range regexp.MustCompile(`[@:][^:@]*`).FindAllString(m[3], -1) {
		if behind[0] == '@' {
			w.Revision = behind[1:]
		} else {
			w.quant = behind[1:]
		}
	}
	return w, true
}
