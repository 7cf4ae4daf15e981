package clients

import (
	"bufio"
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Of the server under test.
const (
	key   = "the key of the tests"
	model = "smollm2"
)

// command is the built ebb, once for all tests.
var command = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ebb-clients-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "ebb")
	build := exec.Command("go", "build", "-o", path, "./cmd/ebb")
	build.Dir, build.Stderr = "..", os.Stderr
	return path, build.Run()
})

func TestMain(m *testing.M) {
	m.Run()
	if path, err := command(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path)) // it is in the system's folder for such files
	}
}

// server is a running ebb serve.
type server struct {
	url     string
	process *exec.Cmd
	log     lines
}

// lines are what a process has written so far.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// start starts ebb serve and waits until the model is loaded. It is killed when the test ends.
func start(t *testing.T, flags ...string) *server {
	t.Helper()
	path, err := command()
	if err != nil {
		t.Fatal(err)
	}
	file := os.Getenv("EBB_TEST_MODEL")
	if file == "" {
		t.Fatal("EBB_TEST_MODEL names no model: run make test-clients")
	}
	s := &server{process: exec.Command(path, append([]string{"serve", "-m", model + "=" + file, "--listen", "127.0.0.1:0", "--api-key", key}, flags...)...)}
	out, err := s.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.process.Stdout = s.process.Stderr
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the server has said:\n%s", s.log.String())
		}
	})
	urls := make(chan string, 1)
	go s.read(bufio.NewScanner(out), urls)
	select {
	case s.url = <-urls:
	case <-time.After(time.Minute):
		t.Fatalf("ebb serve has not said where it listens:\n%s", s.log.String())
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		response, err := http.Get(s.url + "/health")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return s
			}
		}
		if time.Now().After(end) {
			t.Fatalf("ebb serve has not loaded its model: %v\n%s", err, s.log.String())
		}
	}
}

// read keeps what the server says, and sends the first address in it.
func (s *server) read(scan *bufio.Scanner, urls chan<- string) {
	for scan.Scan() {
		s.log.mu.Lock()
		s.log.text.WriteString(scan.Text() + "\n")
		s.log.mu.Unlock()
		if url := address.FindString(scan.Text()); url != "" {
			select {
			case urls <- url:
			default:
			}
		}
	}
}

// kill ends the server at once, as kill -9 does.
func (s *server) kill() {
	_ = s.process.Process.Kill() // it may have ended
	_ = s.process.Wait()
}

// python runs a test script with the clients for Python.
func (s *server) python(t *testing.T, script string) {
	t.Helper()
	interpreter := os.Getenv("EBB_TEST_PYTHON")
	if interpreter == "" {
		t.Fatal("EBB_TEST_PYTHON names no interpreter that has the clients: run make test-clients")
	}
	run := exec.Command(interpreter, "-m", "unittest", "-v", strings.TrimSuffix(script, ".py"))
	run.Dir = "python"
	run.Env = append(os.Environ(), "EBB_URL="+s.url, "EBB_KEY="+key, "EBB_MODEL="+model, "PYTHONDONTWRITEBYTECODE=1")
	out, err := run.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
	if !bytes.Contains(out, []byte("\nOK")) || bytes.Contains(out, []byte("skipped")) {
		t.Errorf("%s: not every test has passed:\n%s", script, out)
	}
}
