package hub

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for name, want := range map[string]Ref{
		"hf://owner/repo/m.gguf":                {"owner", "repo", "main", "m.gguf"},
		"hf://Own.er-1/re_po.v2/M.GGUF":         {"Own.er-1", "re_po.v2", "main", "M.GGUF"},
		"hf://owner/repo/a/b c/m.gguf":          {"owner", "repo", "main", "a/b c/m.gguf"},
		"hf://owner/repo/m.gguf@v1":             {"owner", "repo", "v1", "m.gguf"},
		"hf://owner/repo/m.gguf@refs/pr/7":      {"owner", "repo", "refs/pr/7", "m.gguf"},
		"hf://owner/repo@v1/a/m.gguf":           {"owner", "repo", "v1", "a/m.gguf"},
		"hf://owner/repo/a@b.gguf":              {"owner", "repo", "main", "a@b.gguf"},
		"hf://owner/repo/a@b.gguf@" + commitA:   {"owner", "repo", commitA, "a@b.gguf"},
		"hf://owner/repo/m-00001-of-00002.gguf": {"owner", "repo", "main", "m-00001-of-00002.gguf"},
	} {
		got, err := Parse(name)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s: read again as %+v, %v; want %+v", got, again, err, got)
		}
	}
}

func TestParseSaysWhatIsWanted(t *testing.T) {
	for name, want := range map[string]string{
		"owner/repo/m.gguf":                  "does not begin with hf://",
		"hf://":                              `the owner is ""`,
		"hf://owner":                         `the repository is ""`,
		"hf://owner/repo":                    `the file is ""`,
		"hf://owner/repo/":                   `the file is ""`,
		"hf://owner/repo/README.md":          `the file is "README.md"`,
		"hf://owner/repo/../../m.gguf":       `the file's path is "../../m.gguf"`,
		"hf://owner/repo//m.gguf":            `the file's path is "/m.gguf"`,
		"hf://owner/repo/a\\b.gguf":          "the file's path is",
		"hf://owner/repo/a\x00.gguf":         "the file's path is",
		"hf://../repo/m.gguf":                `the owner is ".."`,
		"hf://a--b/repo/m.gguf":              `the owner is "a--b"`,
		"hf://owner/re po/m.gguf":            `the repository is "re po"`,
		"hf://owner/repo/m.gguf@":            `the revision is ""`,
		"hf://owner/repo/m.gguf@../x":        `the revision is "../x"`,
		"hf://owner/repo@v1/m.gguf@v2":       `two revisions, "v1" and "v2"`,
		"hf://owner/repo@main/m.gguf@main":   "two revisions",
		"hf://owner/repo@/m.gguf":            `the revision is ""`,
		"hf://owner/repo/" + long(2000):      "the file's path is",
		"hf://" + long(200) + "/repo/m.gguf": "the owner is",
	} {
		_, err := Parse(name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got  %v\nwant %q in it", name, err, want)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) + ".gguf" }

// FuzzParse keeps two promises for any name: what is accepted stays in its folder of the cache, and
// is read again as itself.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"hf://owner/repo/m.gguf", "hf://owner/repo@v/a/m.gguf", "hf://o/r/m.gguf@refs/pr/1", "hf://o/r/../../m.gguf@..", "hf://a.b/c.d/e@f.gguf@g"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		r, err := Parse(name)
		if err != nil {
			return
		}
		if again, err := Parse(r.String()); err != nil || again != r {
			t.Errorf("%q is %+v, and read again %+v, %v", name, r, again, err)
		}
		root := filepath.FromSlash("/cache")
		c := newCache(root, r)
		for dir, path := range map[string]string{
			c.path("snapshots", commitA): c.snapshot(commitA, r.File),
			c.path("refs"):               c.ref(r.Revision),
			root:                         c.path(),
		} {
			if rel, err := filepath.Rel(dir, path); err != nil || !filepath.IsLocal(rel) {
				t.Errorf("%q leads to %s, outside %s", name, path, dir)
			}
		}
	})
}
