package main

import (
	"fmt"
	"io"
	"path"

	"github.com/schollz/progressbar/v3"

	"github.com/seed4d217819/ebb/hub"
	"github.com/seed4d217819/ebb/internal/bytesize"
)

// downloadBar shows downloads: on a terminal as a bar, elsewhere as a line for each file.
type downloadBar struct {
	w    io.Writer
	file string // the one that is shown
	bar  *progressbar.ProgressBar
}

// update shows the progress of a file.
func (d *downloadBar) update(p hub.Progress) {
	if d.file != p.File {
		d.clear()
		d.begin(p)
	}
	if d.bar != nil {
		_ = d.bar.Set64(p.Done) // a bar that cannot be drawn does no harm
	}
}

func (d *downloadBar) begin(p hub.Progress) {
	d.file = p.File
	name := shown(path.Base(p.File))
	if p.Parts > 1 {
		name = fmt.Sprintf("%s (%d of %d)", name, p.Part, p.Parts)
	}
	if !isTerminal(d.w) {
		printNotes(d.w, []string{fmt.Sprintf("downloading %s, %s", name, bytesize.Format(p.Total))})
		return
	}
	d.bar = newBar(d.w, name, p.Total)
}

// clear removes the bar from the terminal, so that something else can be written there.
func (d *downloadBar) clear() {
	if d.bar != nil {
		_ = d.bar.Clear() // see update
	}
	d.bar, d.file = nil, ""
}
