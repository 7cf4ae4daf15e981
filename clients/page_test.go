package clients

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browser opens the page in a headless Chromium, with the key in its settings.
func browser(t *testing.T, s *server) context.Context {
	t.Helper()
	path := os.Getenv("EBB_TEST_CHROMIUM")
	if path == "" {
		t.Fatal("EBB_TEST_CHROMIUM names no browser: run make test-clients")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-background-networking", true))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	do(ctx, t,
		chromedp.Navigate(s.url),
		set("40"),
		chromedp.Navigate(s.url),
		until(`document.getElementById("model").textContent.startsWith("`+model+`")`),
	)
	return ctx
}

// do takes steps in the browser.
func do(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// get returns what an expression is in the page.
func get[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until an expression holds.
func until(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(time.Minute))
}

// set has the page's settings be those of the test when it is opened next.
func set(tokens string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](`localStorage.setItem("ebb settings", JSON.stringify({key: "` + key + `", temperature: "0", tokens: "` + tokens + `"}))`)
}

// note is what the page says of the last answer.
const note = `document.querySelector("#messages li.assistant:last-child .acts").textContent`

// said returns the texts of the messages that the page shows.
func said(ctx context.Context, t *testing.T) []string {
	t.Helper()
	return get[[]string](ctx, t, `[...document.querySelectorAll("#messages .said")].map((e) => e.textContent)`)
}

// answered waits until an answer has ended.
func answered() chromedp.Action[chromedp.Void] {
	return until(`document.getElementById("stop").hidden && document.querySelector("#messages li.assistant:last-child .acts") !== null`)
}

// picture keeps a picture of the page where EBB_TEST_PICTURES names a folder.
func picture(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("EBB_TEST_PICTURES")
	if dir == "" {
		return
	}
	do(ctx, t, chromedp.Sleep(time.Second))
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Error(err)
	}
}

// dark has the browser prefer dark pages.
func dark(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}
	_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
	return chromedp.Void{}, err
}

func TestPage(t *testing.T) {
	s := start(t)
	ctx := browser(t, s)
	question := "Count from one to twenty."

	do(ctx, t, chromedp.SendKeys(chromedp.CSS("#question"), question+kb.Enter), answered())
	first := said(ctx, t)
	if len(first) != 2 || first[0] != question || first[1] == "" {
		t.Fatalf("the page shows %q", first)
	}
	if got := get[string](ctx, t, note); !strings.Contains(got, "tokens/s") || !strings.Contains(got, "were kept") {
		t.Errorf("the answer's note is %q", got)
	}

	// Where the K/V are.
	do(ctx, t, until(`[...document.querySelectorAll("#picture .part.now")].some((p) => p.getBoundingClientRect().width > 1)`),
		chromedp.WaitVisible(chromedp.CSS("#export")))
	picture(ctx, t, "answer")

	// An edited question is a branch, and the first one is still there.
	do(ctx, t,
		chromedp.Click(chromedp.CSS("#messages li.user .acts button:last-child")),
		chromedp.SendKeys(chromedp.CSS("#messages textarea"), " Then stop."+kb.Enter), answered())
	if edited := said(ctx, t); len(edited) != 2 || edited[0] != question+" Then stop." {
		t.Errorf("after the edit the page shows %q", edited)
	}
	do(ctx, t, chromedp.Click(chromedp.CSS(`#messages li.user button[title="Branch before"]`)))
	if back := said(ctx, t); back[0] != first[0] || back[1] != first[1] {
		t.Errorf("the branch before shows %q, and was %q", back, first)
	}

	// What was said outlives the page.
	do(ctx, t, chromedp.Reload(), until(`document.querySelectorAll("#messages li").length === 2`))

	// Escape stops an answer.
	do(ctx, t,
		set("4000"),
		chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#send")),
		chromedp.SendKeys(chromedp.CSS("#question"), "Write a very long story."+kb.Enter),
		until(`(document.querySelector("#messages li.assistant:last-child .said")?.textContent.length ?? 0) > 10`),
		chromedp.KeyEvent(kb.Escape), answered())
	if got := get[string](ctx, t, note); !strings.Contains(got, "stopped") {
		t.Errorf("the note of a stopped answer is %q", got)
	}

	// A phone shows everything without scrolling sideways, also in the dark.
	do(ctx, t, chromedp.EmulateViewport(360, 740), dark)
	if get[bool](ctx, t, `document.documentElement.scrollWidth > innerWidth`) {
		t.Error("on a phone the page is wider than the screen")
	}
	picture(ctx, t, "phone")
	do(ctx, t, chromedp.Click(chromedp.CSS("#menu")), chromedp.WaitVisible(chromedp.CSS("#conversations")))
	picture(ctx, t, "menu")
}

// After kill -9 the page shows its conversations as being on the disk, goes on with them, pins and deletes them.
func TestPageAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, "--cache-dir", dir+":1GiB")
	ctx := browser(t, s)
	do(ctx, t,
		chromedp.SendKeys(chromedp.CSS("#question"), "Count from one to twenty."+kb.Enter), answered(),
		until(`document.querySelector("#conversations .place.device") !== null`),
		until(`[...document.querySelectorAll("#picture .disk .part.now")].some((p) => p.getBoundingClientRect().width > 1)`))
	before := said(ctx, t)
	kept := get[string](ctx, t, `localStorage.getItem("ebb conversations")`)
	quoted, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	s.kill()
	do(ctx, t, until(`document.getElementById("model").textContent.includes("cannot be reached")`))

	s = start(t, "--cache-dir", dir+":1GiB") // on another port, where the browser has kept nothing
	do(ctx, t,
		chromedp.Navigate(s.url), set("40"),
		chromedp.Evaluate[chromedp.Void]("localStorage.setItem(\"ebb conversations\", "+string(quoted)+")"),
		chromedp.Navigate(s.url),
		until(`document.getElementById("kept").textContent.includes("on the disk")`),
		until(`document.querySelector("#conversations .place.disk") !== null`),
		chromedp.WaitVisible(chromedp.CSS("#export")),
		chromedp.Click(chromedp.CSS("#pin")), until(`document.getElementById("pin").ariaPressed === "true"`))
	picture(ctx, t, "restart")
	if after := said(ctx, t); !slices.Equal(after, before) {
		t.Errorf("after a restart the page shows %q, and had %q", after, before)
	}
	do(ctx, t, chromedp.SendKeys(chromedp.CSS("#question"), "And backwards?"+kb.Enter), answered())
	if got := get[string](ctx, t, note); strings.Contains(got, "; 0 of") || !strings.Contains(got, "were kept") {
		t.Errorf("the next answer's note is %q", got)
	}
	do(ctx, t, until(`document.getElementById("pin").ariaPressed === "true"`),
		chromedp.Click(chromedp.CSS("#all-open")), until(`document.querySelectorAll("#all-list li").length === 1`))
	picture(ctx, t, "kept")
	do(ctx, t, chromedp.EmulateViewport(390, 844), dark)
	if get[bool](ctx, t, `document.documentElement.scrollWidth > innerWidth`) {
		t.Error("on a phone the page is wider than the screen")
	}
	picture(ctx, t, "kept-phone")
	do(ctx, t,
		chromedp.Click(chromedp.CSS("#all-list .acts button:last-child")), until(`document.querySelector("#all-list .sure") !== null`),
		chromedp.Click(chromedp.CSS("#all-list .acts button:last-child")), until(`document.querySelectorAll("#all-list li").length === 0`),
		chromedp.Click(chromedp.CSS("#all button[value=ok]")),
		chromedp.EmulateViewport(1000, 700),
		chromedp.Click(chromedp.CSS("#conversations .forget")), until(`document.querySelector("#conversations .forget.sure") !== null`),
		chromedp.Click(chromedp.CSS("#conversations .forget")), until(`document.querySelector("#conversations .title").textContent === "New conversation"`),
		chromedp.WaitVisible(chromedp.CSS("#empty")))
	picture(ctx, t, "empty")
}

// A page of a server with several models asks the one that is chosen in its settings.
func TestPageOfTwoModels(t *testing.T) {
	s := start(t, "-m", "another="+os.Getenv("EBB_TEST_MODEL"))
	ctx := browser(t, s)
	do(ctx, t,
		chromedp.Click(chromedp.CSS("#settings-open")),
		until(`document.querySelectorAll("#models option").length === 2`),
		chromedp.Evaluate[chromedp.Void](`document.getElementById("models").value = "another"`),
	)
	picture(ctx, t, "models")
	do(ctx, t,
		chromedp.Click(chromedp.CSS("#settings button")),
		until(`document.getElementById("model").textContent.startsWith("another")`),
		chromedp.SendKeys(chromedp.CSS("#question"), "Count from one to five."+kb.Enter),
		answered(),
	)
	if texts := said(ctx, t); len(texts) != 2 || texts[1] == "" {
		t.Errorf("the page shows %q", texts)
	}
	loaded := get[string](ctx, t, `localStorage.getItem("ebb settings")`)
	if log := s.log.String(); !strings.Contains(loaded, `"model":"another"`) || !strings.Contains(log, "model=another") {
		t.Errorf("another model was chosen, which has not answered: settings %s", loaded)
	}
}
