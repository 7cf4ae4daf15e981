package hub

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	commitA = "0123456789abcdef0123456789abcdef01234567"
	commitB = "89abcdef0123456789abcdef0123456789abcdef"
)

// fakeHub speaks the hub's part of HTTP: it says what files are, and redirects to a storage that
// has their bytes.
type fakeHub struct {
	hub, storage *httptest.Server

	mu      sync.Mutex
	commits map[string]string // of revisions
	files   map[string][]byte // by COMMIT/FILE, of owner/repo
	gets    []string          // the Range of each request to the storage
	heads   int

	// What goes wrong; nil: nothing. They answer instead of the server if they return true.
	onHead func(w http.ResponseWriter, r *http.Request) bool
	onGet  func(w http.ResponseWriter, r *http.Request, data []byte) bool
}

func newFakeHub(t *testing.T) *fakeHub {
	t.Helper()
	h := &fakeHub{commits: map[string]string{"main": commitA, commitA: commitA, commitB: commitB}, files: map[string][]byte{}}
	h.hub = httptest.NewServer(http.HandlerFunc(h.serveHub))
	h.storage = httptest.NewServer(http.HandlerFunc(h.serveStorage))
	t.Cleanup(h.hub.Close)
	t.Cleanup(h.storage.Close)
	return h
}

// put gives the repository a file at a commit and returns its checksum.
func (h *fakeHub) put(commit, file string, data []byte) (sum string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[commit+"/"+file] = data
	return sumOf(data)
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func gitSumOf(data []byte) string {
	sum := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(data), data))
	return hex.EncodeToString(sum[:])
}

func (h *fakeHub) options(t *testing.T) Options {
	t.Helper()
	return Options{Endpoint: h.hub.URL, Cache: t.TempDir(), pause: time.Millisecond}
}

func (h *fakeHub) serveHub(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	onHead := h.onHead
	if r.Method == http.MethodHead {
		h.heads++
	}
	h.mu.Unlock()
	if onHead != nil && onHead(w, r) {
		return
	}
	refuse := func(code string) {
		w.Header().Set(errorCode, code)
		w.WriteHeader(http.StatusNotFound)
	}
	if revision, ok := strings.CutPrefix(r.URL.Path, "/api/models/owner/repo/revision/"); ok {
		h.serveList(w, revision, refuse)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/owner/repo/resolve/")
	if !ok {
		refuse("RepoNotFound")
		return
	}
	revision, file, _ := strings.Cut(rest, "/")
	h.mu.Lock()
	commit, known := h.commits[revision]
	data, there := h.files[commit+"/"+file]
	h.mu.Unlock()
	switch {
	case !known:
		refuse("RevisionNotFound")
		return
	case !there:
		refuse("EntryNotFound")
		return
	}
	w.Header().Set(repoCommit, commit)
	if bytes.HasPrefix(data, []byte("small")) { // a file in git, served by the hub itself
		w.Header().Set("Etag", `"`+gitSumOf(data)+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		return
	}
	w.Header().Set("Etag", `"of the redirect"`)
	w.Header().Set(linkedETag, `"`+sumOf(data)+`"`)
	w.Header().Set(linkedSize, fmt.Sprint(len(data)))
	http.Redirect(w, r, h.storage.URL+"/"+commit+"/"+file+"?signature=x", http.StatusFound)
}

// serveList says which files a revision has.
func (h *fakeHub) serveList(w http.ResponseWriter, revision string, refuse func(code string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	commit, known := h.commits[revision]
	if !known {
		refuse("RevisionNotFound")
		return
	}
	type sibling struct {
		Name string `json:"rfilename"`
	}
	page := struct {
		Siblings []sibling `json:"siblings"`
	}{Siblings: []sibling{}}
	for name := range h.files {
		if file, ok := strings.CutPrefix(name, commit+"/"); ok {
			page.Siblings = append(page.Siblings, sibling{file})
		}
	}
	_ = json.NewEncoder(w).Encode(page)
}

func (h *fakeHub) serveStorage(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	data := h.files[strings.TrimPrefix(r.URL.Path, "/")]
	h.gets = append(h.gets, r.Header.Get("Range"))
	onGet := h.onGet
	h.mu.Unlock()
	w.Header().Set("Etag", `"of the storage"`)
	if onGet != nil && onGet(w, r, data) {
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// asked returns the ranges that the storage was asked for so far.
func (h *fakeHub) asked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.gets...)
}

// cutAfter sends n bytes of what is asked for and cuts the connection.
func cutAfter(w http.ResponseWriter, r *http.Request, data []byte, n int) {
	from := 0
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
		w.Header().Set("Content-Length", fmt.Sprint(len(data)-from))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	}
	_, _ = w.Write(data[from:min(from+n, len(data))])
	_ = http.NewResponseController(w).Flush() // else nothing of it need arrive
	panic(http.ErrAbortHandler)
}

// content returns n bytes that look like nothing else.
func content(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7 + i>>8)
	}
	return data
}

func ref(file string) Ref { return Ref{Owner: "owner", Repo: "repo", Revision: "main", File: file} }
