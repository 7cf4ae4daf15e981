package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/hub"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

// newHub starts a server that has the files of some folders, by their names, as owner/repo on the
// hub. Package hub's tests have one that knows more.
func newHub(t *testing.T, folders ...string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/models/owner/repo/revision/main" {
			_, _ = w.Write([]byte(`{"siblings": [{"rfilename": "tiny-mha.gguf"}, {"rfilename": "tiny-gqa.gguf"}]}`))
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/owner/repo/resolve/") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		for _, folder := range folders {
			data, err := os.ReadFile(filepath.Join(folder, path.Base(r.URL.Path)))
			if err != nil {
				continue
			}
			serveHubFile(w, r, data)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(s.Close)
	return s
}

func serveHubFile(w http.ResponseWriter, r *http.Request, data []byte) {
	w.Header().Set("X-Repo-Commit", strings.Repeat("c0", 20))
	w.Header().Set("Etag", fmt.Sprintf(`"%x"`, sha256.Sum256(data)))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func TestCtrlCKeepsADownloadForTheNextCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("cpu: Windows sends no interrupts to other processes")
	}
	data, err := os.ReadFile("../../testdata/models/tiny-gqa.gguf")
	if err != nil {
		t.Fatal(err)
	}
	data = testmodel.Edit(t, data, []gguf.KV{{Key: "tokenizer.chat_template", Value: "the template of tiny-gqa"}})
	half := make(chan struct{})
	var gets, sent atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && gets.Add(1) == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data[:len(data)/2])
			_ = http.NewResponseController(w).Flush()
			close(half)
			<-r.Context().Done() // the command goes away
			return
		}
		counted := &countingWriter{ResponseWriter: w, n: &sent}
		serveHubFile(counted, r, data)
	}))
	defer s.Close()

	home := t.TempDir()
	template := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "template", "-m", "hf://owner/repo/m.gguf")
		cmd.Args[0] = "ebb" // as which TestMain runs main
		cmd.Env = append(os.Environ(), "HF_ENDPOINT="+s.URL, "HF_HOME="+home, "HF_HUB_CACHE=", "HUGGINGFACE_HUB_CACHE=", "HF_HUB_OFFLINE=", "TRANSFORMERS_OFFLINE=")
		return cmd
	}
	first := template()
	var stderr bytes.Buffer
	first.Stderr = &stderr
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	<-half
	waitForPartial(t, home)
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // the status is looked at below
	if got := first.ProcessState.ExitCode(); got != exitFailed || !strings.Contains(stderr.String(), "is kept, and the same command goes on from there") {
		t.Errorf("exit status %d, want %d and a word on what is kept:\n%s", got, exitFailed, stderr.String())
	}

	out, err := template().CombinedOutput()
	if err != nil || !strings.Contains(string(out), "tiny-gqa") {
		t.Errorf("the second command: %v\n%s", err, out)
	}
	if got := sent.Load(); got == 0 || got >= int64(len(data)) {
		t.Errorf("the second command was sent %d bytes, want some and not all %d", got, len(data))
	}
}

// waitForPartial waits until some bytes of a download are in the cache: those sent last may be on
// their way still.
func waitForPartial(t *testing.T, home string) {
	t.Helper()
	for {
		names, err := filepath.Glob(filepath.Join(home, "hub", "*", "blobs", "*.incomplete"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if info, err := os.Stat(name); err == nil && info.Size() > 0 {
				return
			}
		}
		select {
		case <-t.Context().Done():
			t.Fatal("no byte of the download was kept")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.n.Add(int64(len(b)))
	return w.ResponseWriter.Write(b)
}

func TestADownloadIsALineWhereThereIsNoTerminal(t *testing.T) {
	var out bytes.Buffer
	bar := &downloadBar{w: &out}
	for done := range int64(3) {
		bar.update(hub.Progress{File: "a/m-00001-of-00002.gguf", Part: 1, Parts: 2, Done: done, Total: 2})
	}
	bar.update(hub.Progress{File: "a/m-00002-of-00002.gguf", Part: 2, Parts: 2, Total: 2 << 20})
	bar.clear()
	want := "ebb: note: downloading m-00001-of-00002.gguf (1 of 2), 2 B\nebb: note: downloading m-00002-of-00002.gguf (2 of 2), 2.0 MiB\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}
