package page

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// get asks a mux that has the page for a path.
func get(t *testing.T, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	Register(mux)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func TestThePageLoadsItsOwnFilesAlone(t *testing.T) {
	reference := regexp.MustCompile(`(?:href|src)="([^"#][^"]*)"|(?:from|fetch\() ?"([^"]*)"`)
	seen := map[string]bool{}
	files := []string{"/"}
	for len(files) > 0 {
		path := files[0]
		files = files[1:]
		w := get(t, path, nil)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") == "" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: status %d, %v", path, w.Code, w.Header())
		}
		for _, m := range reference.FindAllStringSubmatch(w.Body.String(), -1) {
			file := m[1] + m[2]
			if strings.HasPrefix(file, "/v1/") || seen[file] {
				continue
			}
			if seen[file] = true; !strings.HasPrefix(file, "/page/") {
				t.Errorf("%s refers to %s, which is not the page's", path, file)
				continue
			}
			files = append(files, file)
		}
	}
	for name := range read() {
		if name != "index.html" && !seen["/page/"+name] {
			t.Errorf("nothing refers to %s", name)
		}
	}
}

func TestAFileThatTheBrowserHasIsNotSentAgain(t *testing.T) {
	first := get(t, "/", nil)
	again := get(t, "/", http.Header{"If-None-Match": first.Result().Header["Etag"]})
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("status %d and %d bytes for a file that the browser has", again.Code, again.Body.Len())
	}
}

func TestOtherPathsAreNotThePages(t *testing.T) {
	for _, path := range []string{"/page/", "/page/none.js", "/page/../doc.go", "/other"} {
		if w := get(t, path, nil); w.Code == http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}
