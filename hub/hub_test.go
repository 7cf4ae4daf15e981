package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func fetch(t *testing.T, r Ref, o Options) string {
	t.Helper()
	path, err := Fetch(t.Context(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func wantBytes(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, %v; want the hub's %d", path, len(got), err, len(want))
	}
}

// wantError fails unless an error says all the texts.
func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("got  %v\nwant %q in it", err, text)
		}
	}
	if strings.Count(err.Error(), "hub: ") > 1 {
		t.Errorf("error %q names the package more than once", err)
	}
}

// tree lists the files below a folder, links with what they lead to.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if e.Type()&fs.ModeSymlink != 0 {
			target, linkErr := os.Readlink(path)
			name, err = name+" -> "+target, errors.Join(err, linkErr)
		}
		files = append(files, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFilesLieWhereHuggingfaceHubLooksForThem(t *testing.T) {
	h := newFakeHub(t)
	data := content(10_000)
	sum := h.put(commitA, "folder/m.gguf", data)
	o := h.options(t)
	path := fetch(t, ref("folder/m.gguf"), o)
	wantBytes(t, path, data)
	want := []string{
		".locks/models--owner--repo/" + sum + ".lock",
		"models--owner--repo/blobs/" + sum,
		"models--owner--repo/refs/main",
		"models--owner--repo/snapshots/" + commitA + "/folder/m.gguf -> ../../../blobs/" + sum,
	}
	if diff := cmp.Diff(tree(t, o.Cache), want); diff != "" {
		t.Errorf("the cache (-got +want):\n%s", diff)
	}
	wantBytes(t, filepath.Join(o.Cache, "models--owner--repo/refs/main"), []byte(commitA))
}

func TestWhatIsInTheCacheIsNotDownloadedAgain(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m.gguf", content(1000))
	o := h.options(t)
	first := fetch(t, ref("m.gguf"), o)
	if second := fetch(t, ref("m.gguf"), o); second != first || len(h.asked()) != 1 {
		t.Errorf("%s after %s, with %d downloads; want the same with 1", second, first, len(h.asked()))
	}
	// Another commit with the same bytes, under another name.
	h.put(commitB, "n.gguf", content(1000))
	h.commits["main"] = commitB
	wantBytes(t, fetch(t, ref("n.gguf"), o), content(1000))
	if got := len(h.asked()); got != 1 {
		t.Errorf("%d downloads of the same bytes, want 1", got)
	}
	// A commit never changes: the hub need not be asked.
	heads := h.heads
	r := ref("m.gguf")
	r.Revision = commitA
	if got := fetch(t, r, o); got != first || h.heads != heads {
		t.Errorf("%s with %d questions, want %s with none", got, h.heads-heads, first)
	}
}

func TestABranchThatMovesIsFetchedAnew(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m.gguf", content(1000))
	o := h.options(t)
	before := fetch(t, ref("m.gguf"), o)
	h.put(commitB, "m.gguf", content(2000))
	h.commits["main"] = commitB
	after := fetch(t, ref("m.gguf"), o)
	wantBytes(t, before, content(1000))
	wantBytes(t, after, content(2000))
}

func TestAFileInGitIsCheckedByGitsChecksum(t *testing.T) {
	h := newFakeHub(t)
	data := append([]byte("small"), content(100)...)
	h.put(commitA, "m.gguf", data)
	path := fetch(t, ref("m.gguf"), h.options(t))
	wantBytes(t, path, data)
	if target, err := os.Readlink(path); err != nil || filepath.Base(target) != gitSumOf(data) {
		t.Errorf("%s leads to %s, %v; want the blob %s", path, target, err, gitSumOf(data))
	}
}

func TestAConnectionThatIsCutGoesOnWhereItEnded(t *testing.T) {
	h := newFakeHub(t)
	data := content(100_000)
	h.put(commitA, "m.gguf", data)
	h.onGet = func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		cutAfter(w, r, data, 30_000)
		return true
	}
	o := h.options(t)
	var notes []string
	o.Note = func(note string) { notes = append(notes, note) }
	wantBytes(t, fetch(t, ref("m.gguf"), o), data)
	if diff := cmp.Diff(h.asked(), []string{"", "bytes=30000-", "bytes=60000-", "bytes=90000-"}); diff != "" {
		t.Errorf("ranges (-got +want):\n%s", diff)
	}
	if len(notes) != 3 || !strings.Contains(notes[0], "the connection ended at byte 30000 of 100000") {
		t.Errorf("notes %q, want 3 that say where the connection ended", notes)
	}
}

func TestAConnectionThatBringsNothingIsGivenUp(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m.gguf", content(1000))
	h.onGet = func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		cutAfter(w, r, data, 0)
		return true
	}
	_, err := Fetch(t.Context(), ref("m.gguf"), h.options(t))
	wantError(t, err, "m.gguf", "the connection ended at byte 0 of 1000")
	if got := len(h.asked()); got != maxTries {
		t.Errorf("%d tries, want %d", got, maxTries)
	}
}

func TestAStalledConnectionIsCutAndGoesOn(t *testing.T) {
	h := newFakeHub(t)
	data := content(50_000)
	h.put(commitA, "m.gguf", data)
	var once sync.Once
	h.onGet = func(w http.ResponseWriter, r *http.Request, data []byte) (stalled bool) {
		once.Do(func() {
			stalled = true
			w.Header().Set("Content-Length", "50000")
			_, _ = w.Write(data[:20_000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // the client goes away
		})
		return stalled
	}
	o := h.options(t)
	o.stall = 100 * time.Millisecond
	var notes []string
	o.Note = func(note string) { notes = append(notes, note) }
	wantBytes(t, fetch(t, ref("m.gguf"), o), data)
	if len(notes) == 0 || !strings.Contains(notes[0], "no byte came in 100ms") {
		t.Errorf("notes %q, want one that says that no byte came", notes)
	}
}

func TestAnInterruptedDownloadGoesOnInTheNextCall(t *testing.T) {
	h := newFakeHub(t)
	data := content(3 << 20)
	sum := h.put(commitA, "m.gguf", data)
	o := h.options(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(p Progress) {
		if p.Done > 1<<20 {
			cancel()
		}
	}
	if _, err := Fetch(ctx, ref("m.gguf"), o); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	kept, err := os.Stat(filepath.Join(o.Cache, "models--owner--repo/blobs", sum+".incomplete"))
	if err != nil || kept.Size() <= 1<<20 || kept.Size() >= int64(len(data)) {
		t.Fatalf("kept %v, %v; want more than a MiB and not all", kept, err)
	}
	var first Progress
	o.Progress = func(p Progress) {
		if first.Done < kept.Size() {
			first = p
		}
	}
	wantBytes(t, fetch(t, ref("m.gguf"), o), data)
	asked := h.asked()
	var from int64
	if n, err := fmt.Sscanf(asked[len(asked)-1], "bytes=%d-", &from); n != 1 || err != nil || from != kept.Size() {
		t.Errorf("ranges %q, want the last from byte %d", asked, kept.Size())
	}
	if want := (Progress{File: "m.gguf", Part: 1, Parts: 1, Done: kept.Size(), Total: int64(len(data))}); first != want {
		t.Errorf("progress when the kept bytes were read: %+v, want %+v", first, want)
	}
}

func TestAServerWithoutRangesBeginsAnew(t *testing.T) {
	h := newFakeHub(t)
	data := content(100_000)
	h.put(commitA, "m.gguf", data)
	h.onGet = func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		r.Header.Del("Range")
		if len(h.asked()) == 1 {
			cutAfter(w, r, data, 40_000)
		}
		_, _ = w.Write(data)
		return true
	}
	wantBytes(t, fetch(t, ref("m.gguf"), h.options(t)), data)
}

func TestAWrongChecksumSaysBothAndIsNotKept(t *testing.T) {
	h := newFakeHub(t)
	data := content(10_000)
	sum := h.put(commitA, "m.gguf", data)
	flipped := bytes.Clone(data)
	flipped[5000] ^= 1
	h.onGet = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		_, _ = w.Write(flipped)
		return true
	}
	o := h.options(t)
	_, err := Fetch(t.Context(), ref("m.gguf"), o)
	wantError(t, err, "m.gguf", "SHA-256", sum, sumOf(flipped))
	if !errors.Is(err, ErrChecksum) {
		t.Errorf("got %v, want ErrChecksum", err)
	}
	if files := tree(t, o.Cache); len(files) != 1 {
		t.Errorf("the cache has %q, want nothing but the lock", files)
	}
	h.onGet = nil
	wantBytes(t, fetch(t, ref("m.gguf"), o), data)
}

func TestAPartialFileThatWasDamagedIsNotKept(t *testing.T) {
	h := newFakeHub(t)
	data := content(10_000)
	sum := h.put(commitA, "m.gguf", data)
	for _, partial := range [][]byte{slices.Repeat([]byte{1}, 4000), slices.Repeat([]byte{1}, 10_000)} {
		o := h.options(t)
		blobs := filepath.Join(o.Cache, "models--owner--repo/blobs")
		if err := errors.Join(os.MkdirAll(blobs, 0o700), os.WriteFile(filepath.Join(blobs, sum+".incomplete"), partial, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := Fetch(t.Context(), ref("m.gguf"), o); !errors.Is(err, ErrChecksum) {
			t.Errorf("after %d damaged bytes: got %v, want ErrChecksum", len(partial), err)
		}
		wantBytes(t, fetch(t, ref("m.gguf"), o), data)
	}
	// One that is too long is another file's.
	o := h.options(t)
	blobs := filepath.Join(o.Cache, "models--owner--repo/blobs")
	if err := errors.Join(os.MkdirAll(blobs, 0o700), os.WriteFile(filepath.Join(blobs, sum+".incomplete"), content(10_001), 0o600)); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, fetch(t, ref("m.gguf"), o), data)
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		code   string
		token  string
		ref    Ref
		want   []string
	}{
		{"no file", 0, "", "", ref("other.gguf"), []string{"owner/repo at main has no file other.gguf"}},
		{"no revision", 0, "", "", Ref{"owner", "repo", "v9", "m.gguf"}, []string{"owner/repo has no revision v9"}},
		{"no repository", 0, "", "", Ref{"owner", "none", "main", "m.gguf"}, []string{"there is no repository owner/none", "set HF_TOKEN"}},
		{"unauthorized", 401, "", "", ref("m.gguf"), []string{"private", "set HF_TOKEN"}},
		{"unauthorized with a token", 401, "RepoNotFound", "hf_x", ref("m.gguf"), []string{"your token does not allow it"}},
		{"gated", 403, "GatedRepo", "", ref("m.gguf"), []string{"owner/repo is gated: accept its conditions", "set HF_TOKEN"}},
		{"forbidden", 403, "", "hf_x", ref("m.gguf"), []string{"you have no access to owner/repo"}},
		{"404 of something else", 404, "", "", ref("m.gguf"), []string{"has no file m.gguf"}},
		{"server error", 500, "", "", ref("m.gguf"), []string{"answers 500 Internal Server Error"}},
		{"too many requests", 429, "", "", ref("m.gguf"), []string{"answers 429 Too Many Requests"}},
		{"teapot", 418, "", "", ref("m.gguf"), []string{"answers 418"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newFakeHub(t)
			h.put(commitA, "m.gguf", content(10))
			if test.status != 0 {
				h.onHead = func(w http.ResponseWriter, _ *http.Request) bool {
					w.Header().Set(errorCode, test.code)
					w.WriteHeader(test.status)
					return true
				}
			}
			o := h.options(t)
			o.Token = test.token
			_, err := Fetch(t.Context(), test.ref, o)
			wantError(t, err, test.want...)
			if files := tree(t, o.Cache); len(files) != 0 {
				t.Errorf("the cache has %q, want nothing", files)
			}
		})
	}
}

func TestAHubThatIsBusyIsAskedAgain(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusRequestTimeout} {
		h := newFakeHub(t)
		h.put(commitA, "m.gguf", content(1000))
		heads, gets := 0, 0
		h.onHead = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodHead {
				return false
			}
			if heads++; heads < 3 {
				w.WriteHeader(status)
			}
			return heads < 3
		}
		h.onGet = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			if gets++; gets < 3 {
				w.WriteHeader(status)
			}
			return gets < 3
		}
		wantBytes(t, fetch(t, ref("m.gguf"), h.options(t)), content(1000))
		if heads != 3 || gets != 3 {
			t.Errorf("%d: %d questions and %d downloads, want 3 each", status, heads, gets)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "86400": maxWait, "9223372036854775807": maxWait,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute,
		now.Add(time.Hour).Format(http.TimeFormat):   maxWait,
		now.Add(-time.Hour).Format(http.TimeFormat):  0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestTheTokenGoesToTheHubAndToNobodyElse(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m.gguf", content(1000))
	var mu sync.Mutex
	seen := map[string][]string{}
	note := func(who string, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[who+" "+r.Method] = append(seen[who+" "+r.Method], r.Header.Get("Authorization")+r.Header.Get("User-Agent"))
	}
	h.onHead = func(_ http.ResponseWriter, r *http.Request) bool { note("hub", r); return false }
	h.onGet = func(_ http.ResponseWriter, r *http.Request, _ []byte) bool { note("storage", r); return false }
	o := h.options(t)
	o.Token, o.UserAgent = "hf_secret", "/test"
	fetch(t, ref("m.gguf"), o)
	want := map[string][]string{"hub HEAD": {"Bearer hf_secret/test"}, "hub GET": {"Bearer hf_secret/test"}, "storage GET": {"/test"}}
	if diff := cmp.Diff(seen, want); diff != "" {
		t.Errorf("authorizations (-got +want):\n%s", diff)
	}
}

func TestARepositoryThatWasRenamedIsFollowed(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m.gguf", content(1000))
	h.onHead = func(w http.ResponseWriter, r *http.Request) bool {
		if rest, old := strings.CutPrefix(r.URL.Path, "/owner/old/"); old {
			w.Header().Set("Location", "/owner/repo/"+rest)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}
		return false
	}
	wantBytes(t, fetch(t, Ref{"owner", "old", "main", "m.gguf"}, h.options(t)), content(1000))
}

func TestOfflineTakesWhatIsThere(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m.gguf", content(1000))
	o := h.options(t)
	o.Offline = true
	_, err := Fetch(t.Context(), ref("m.gguf"), o)
	wantError(t, err, "hf://owner/repo/m.gguf is not in the cache at "+o.Cache, "HF_HUB_OFFLINE")
	if !errors.Is(err, ErrOffline) {
		t.Errorf("got %v, want ErrOffline", err)
	}
	o.Offline = false
	path := fetch(t, ref("m.gguf"), o)
	o.Offline = true
	heads := h.heads
	if got := fetch(t, ref("m.gguf"), o); got != path || h.heads != heads {
		t.Errorf("%s with %d questions, want %s with none", got, h.heads-heads, path)
	}
	r := ref("m.gguf")
	r.Revision = "v2"
	_, err = Fetch(t.Context(), r, o)
	wantError(t, err, "hf://owner/repo/m.gguf@v2 is not in the cache")
}

func TestAHubThatCannotBeReachedLeavesTheCache(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m.gguf", content(1000))
	o := h.options(t)
	path := fetch(t, ref("m.gguf"), o)
	h.hub.Close()
	var notes []string
	o.Note = func(note string) { notes = append(notes, note) }
	if got := fetch(t, ref("m.gguf"), o); got != path {
		t.Errorf("%s, want %s", got, path)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "taking the file from the cache") {
		t.Errorf("notes %q, want one that says where the file is from", notes)
	}
	_, err := Fetch(t.Context(), ref("n.gguf"), o)
	wantError(t, err, "connection refused")
}

func TestAFileThatLeftTheHubIsAnErrorThoughItIsInTheCache(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m.gguf", content(1000))
	o := h.options(t)
	fetch(t, ref("m.gguf"), o)
	h.commits["main"] = commitB
	_, err := Fetch(t.Context(), ref("m.gguf"), o)
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestAllPartsOfASplitModelComeFromOneCommit(t *testing.T) {
	h := newFakeHub(t)
	names := []string{"q/m-00001-of-00003.gguf", "q/m-00002-of-00003.gguf", "q/m-00003-of-00003.gguf"}
	for i, name := range names {
		h.put(commitA, name, content(1000+i))
	}
	h.onHead = func(_ http.ResponseWriter, r *http.Request) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, names[0]) {
			return false
		}
		h.commits["main"] = commitB // the branch moves after the first question, to where there is nothing
		return false
	}
	o := h.options(t)
	var parts []int
	o.Progress = func(p Progress) {
		if p.Done == p.Total && p.Parts == 3 {
			parts = append(parts, p.Part)
		}
	}
	path := fetch(t, ref(names[1]), o)
	if want := filepath.FromSlash(names[1]); !strings.HasSuffix(path, want) {
		t.Errorf("%s, want the part that was named, %s", path, want)
	}
	for i, name := range names {
		wantBytes(t, filepath.Join(filepath.Dir(path), filepath.Base(name)), content(1000+i))
	}
	if got := slices.Compact(parts); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("parts were done in the order %v, want 1, 2, 3", got)
	}
}

func TestAPartThatTheHubLacksIsNamedBeforeAnythingIsDownloaded(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m-00001-of-00002.gguf", content(1000))
	_, err := Fetch(t.Context(), ref("m-00001-of-00002.gguf"), h.options(t))
	wantError(t, err, "has no file m-00002-of-00002.gguf")
	if len(h.asked()) != 0 {
		t.Errorf("%d downloads, want none", len(h.asked()))
	}
}

func TestTwoCallsDownloadAFileOnce(t *testing.T) {
	h := newFakeHub(t)
	data := content(1 << 20)
	h.put(commitA, "m.gguf", data)
	began, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.onGet = func(http.ResponseWriter, *http.Request, []byte) bool {
		once.Do(func() { close(began) })
		<-goOn
		return false
	}
	o := h.options(t)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			o := o
			o.Note = func(string) { close(goOn) } // it waits for the other one
			if path, err := Fetch(t.Context(), ref("m.gguf"), o); err != nil {
				t.Error(err)
			} else {
				wantBytes(t, path, data)
			}
		})
		<-began
	}
	wg.Wait()
	if got := len(h.asked()); got != 1 {
		t.Errorf("%d downloads, want 1", got)
	}
}

func TestWaitingForAnotherProcessCanBeCancelled(t *testing.T) {
	h := newFakeHub(t)
	sum := h.put(commitA, "m.gguf", content(1000))
	o := h.options(t)
	unlock, err := lock(t.Context(), newCache(o.Cache, ref("m.gguf")).lock(sum), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unlock() }()
	ctx, cancel := context.WithCancel(t.Context())
	o.Note = func(string) { cancel() }
	if _, err := Fetch(ctx, ref("m.gguf"), o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestAnswersOfWhatIsNoHubAreErrors(t *testing.T) {
	good := func(w http.ResponseWriter) {
		w.Header().Set(repoCommit, commitA)
		w.Header().Set(linkedETag, `"`+strings.Repeat("ab", 32)+`"`)
		w.Header().Set(linkedSize, "1000")
	}
	for name, answer := range map[string]func(http.ResponseWriter){
		"a proxy's page":               func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>log in")) },
		"a commit that leaves":         func(w http.ResponseWriter) { good(w); w.Header().Set(repoCommit, "../../../etc") },
		"a checksum that leaves":       func(w http.ResponseWriter) { good(w); w.Header().Set(linkedETag, `"../../../../x"`) },
		"a checksum of another kind":   func(w http.ResponseWriter) { good(w); w.Header().Set(linkedETag, `"d41d8cd98f00b204e9800998ecf8427e"`) },
		"a size that is no number":     func(w http.ResponseWriter) { good(w); w.Header().Set(linkedSize, "many") },
		"a size that is negative":      func(w http.ResponseWriter) { good(w); w.Header().Set(linkedSize, "-5") },
		"a redirect that never ends":   func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(http.StatusFound) },
		"a redirect to nowhere at all": func(w http.ResponseWriter) { w.WriteHeader(http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t)
			h.onHead = func(w http.ResponseWriter, _ *http.Request) bool { answer(w); return true }
			o := h.options(t)
			_, err := Fetch(t.Context(), ref("m.gguf"), o)
			wantError(t, err, "hub: ")
			if files := tree(t, filepath.Dir(o.Cache)); len(files) != 0 {
				t.Errorf("wrote %q, want nothing", files)
			}
		})
	}
}

func TestAStorageThatSendsSomethingElseIsAnError(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter, data []byte)
		want   string
	}{
		{"fewer bytes", func(w http.ResponseWriter, data []byte) { _, _ = w.Write(data[:900]) }, "sends 900 bytes, and the hub's file has 1000"},
		{"more bytes", func(w http.ResponseWriter, data []byte) { _, _ = w.Write(append(data, 1)) }, "sends 1001 bytes, and the hub's file has 1000"},
		{"another range", func(w http.ResponseWriter, data []byte) {
			w.Header().Set("Content-Range", "bytes 500-999/1000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[500:])
		}, `sends "bytes 500-999/1000" of the file, want "bytes 0-999/1000"`},
		{"nothing", func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusNoContent) }, "answers 204"},
		{"a refusal", func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusForbidden) }, "answers 403"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newFakeHub(t)
			h.put(commitA, "m.gguf", content(1000))
			h.onGet = func(w http.ResponseWriter, _ *http.Request, data []byte) bool { test.answer(w, data); return true }
			_, err := Fetch(t.Context(), ref("m.gguf"), h.options(t))
			wantError(t, err, "m.gguf", test.want)
		})
	}
}

func TestACacheThatCannotBeWrittenIsAnError(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m.gguf", content(1000))
	o := h.options(t)
	o.Cache = filepath.Join(o.Cache, "file")
	if err := os.WriteFile(o.Cache, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Fetch(t.Context(), ref("m.gguf"), o)
	wantError(t, err, o.Cache)
}

func TestOptionsThatMakeNoSenseAreErrors(t *testing.T) {
	for _, endpoint := range []string{"huggingface.example", "ftp://x", "http://", "http://a b"} {
		_, err := Fetch(t.Context(), ref("m.gguf"), Options{Endpoint: endpoint, Cache: t.TempDir()})
		wantError(t, err, "the endpoint is", "HF_ENDPOINT")
	}
	_, err := Fetch(t.Context(), ref("m.gguf"), Options{})
	wantError(t, err, "no cache folder")
	_, err = Fetch(t.Context(), Ref{"..", "repo", "main", "m.gguf"}, Options{Cache: t.TempDir()})
	wantError(t, err, `the owner is ".."`)
}
