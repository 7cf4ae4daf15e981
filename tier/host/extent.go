package host

import (
	"cmp"
	"context"
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// maxBuffer is the size of the largest buffer that is asked for, in bytes: no host buffer of Vulkan
// is larger than 1 GiB.
const maxBuffer = 1 << 30

// parts are the two halves of a row.
var parts = [...]tier.Part{tier.Keys, tier.Values}

// extent is memory for a run of cells of all layers.
type extent struct {
	tier.Run
	layers  []tier.Buffer
	holders []*Tier // the trees that refer to it; it counts for the first one
}

// view is the cells of an extent that a tree refers to.
type view struct {
	tier.Run
	extent *extent
}

// part returns the pieces of one part from a cell on, and the distance between heads.
func (e *extent) part(l tier.Layout, layer int, p tier.Part, cell int) (buf []byte, stride int64) {
	return l.Part(e.layers[layer].Bytes(), e.N, p, cell-e.Start)
}

func (v view) part(l tier.Layout, layer int, p tier.Part, cell int) (buf []byte, stride int64) {
	return v.extent.part(l, layer, p, cell)
}

// overlap returns the cells that the view and a run have in common.
func (v view) overlap(r tier.Run) tier.Run {
	from, to := max(r.Start, v.Start), min(r.End(), v.End())
	return tier.Run{Start: from, N: max(0, to-from)}
}

func (e *extent) bytes() (n int64) {
	for _, b := range e.layers {
		n += int64(len(b.Bytes()))
	}
	return n
}

func (e *extent) close() {
	for _, b := range e.layers {
		b.Close()
	}
}

// copyFrom copies cells from another extent. Both have them.
func (e *extent) copyFrom(from *extent, cells tier.Run, layouts []tier.Layout) {
	for i, l := range layouts {
		for _, p := range parts {
			to, apart := e.part(l, i, p, cells.Start)
			old, oldApart := from.part(l, i, p, cells.Start)
			n := int64(cells.N) * l.Piece(p)
			for h := range int64(l.Heads) {
				copy(to[h*apart:][:n], old[h*oldApart:][:n])
			}
		}
	}
}

// grow allocates an extent for the first cells of a run, in whole blocks: as many as a buffer can
// hold.
func (t *Tier) grow(ctx context.Context, cells tier.Run) (view, error) {
	if err := ctx.Err(); err != nil { // memory is zeroed, and pinned, as it is taken: that takes a while
		return view{}, err
	}
	cells.N = (cells.N + tier.BlockCells - 1) / tier.BlockCells * tier.BlockCells
	for _, l := range t.layouts {
		if most := int(maxBuffer/l.RowBytes()) / tier.BlockCells * tier.BlockCells; most > 0 {
			cells.N = min(cells.N, most)
		}
	}
	e := &extent{Run: cells}
	for _, l := range t.layouts {
		b, err := t.alloc(l.RowBytes() * int64(cells.N))
		if err != nil {
			e.close()
			return view{}, err
		}
		e.layers = append(e.layers, b)
	}
	return view{cells, e}, nil
}

// growAll allocates extents for all cells of a run. It returns those that it got also with an error.
func (t *Tier) growAll(ctx context.Context, cells tier.Run) (added []view, err error) {
	for cells.N > 0 {
		v, err := t.grow(ctx, cells)
		if err != nil {
			return added, err
		}
		added = append(added, v)
		cells = tier.Run{Start: v.End(), N: cells.End() - v.End()}
	}
	return added, nil
}

// closeViews frees extents to which no tree refers yet.
func closeViews(views []view) {
	for _, v := range views {
		v.extent.close()
	}
}

// gaps returns the cells of a run that are not held.
func (t *Tier) gaps(r tier.Run) (gaps []tier.Run) {
	from := r.Start
	for _, v := range t.views {
		in := v.overlap(r)
		if in.N == 0 {
			continue
		}
		if in.Start > from {
			gaps = append(gaps, tier.Run{Start: from, N: in.Start - from})
		}
		from = in.End()
	}
	if from < r.End() {
		gaps = append(gaps, tier.Run{Start: from, N: r.End() - from})
	}
	return gaps
}

// holds reports whether all cells of a run are held.
func (t *Tier) holds(r tier.Run) bool {
	from := r.Start
	for _, v := range t.views {
		if v.Start <= from && from < v.End() {
			from = v.End()
		}
	}
	return from >= r.End()
}

// insert adds views of cells that are not held yet.
func (t *Tier) insert(added []view) {
	if len(added) > 0 {
		t.replace(append(slices.Clone(t.views), added...))
	}
}

// outside returns the parts of views that lie outside a run.
func outside(views []view, r tier.Run) (rest []view) {
	for _, v := range views {
		if n := min(v.End(), r.Start) - v.Start; n > 0 {
			rest = append(rest, view{tier.Run{Start: v.Start, N: n}, v.extent})
		}
		if n := v.End() - max(v.Start, r.End()); n > 0 {
			rest = append(rest, view{tier.Run{Start: v.End() - n, N: n}, v.extent})
		}
	}
	return rest
}

// inside returns the parts of views that lie inside a run.
func inside(views []view, r tier.Run) (parts []view) {
	for _, v := range views {
		if in := v.overlap(r); in.N > 0 {
			parts = append(parts, view{in, v.extent})
		}
	}
	return parts
}

// replace makes a tree refer to other cells than before, and gives up the extents, or the parts of
// them, to which no tree refers any more.
func (t *Tier) replace(views []view) {
	before := t.views
	slices.SortFunc(views, func(a, b view) int { return cmp.Compare(a.Start, b.Start) })
	t.mu.Lock()
	t.views = joined(views)
	t.mu.Unlock()
	for _, v := range t.views {
		v.extent.hold(t)
	}
	settled := map[*extent]bool{}
	for _, v := range before {
		if !settled[v.extent] {
			settled[v.extent] = true
			v.extent.settle(t)
		}
	}
}

// joined joins views of one extent that lie behind each other.
func joined(views []view) (all []view) {
	for _, v := range views {
		if n := len(all); n > 0 && all[n-1].extent == v.extent && all[n-1].End() == v.Start {
			all[n-1].N += v.N
			continue
		}
		all = append(all, v)
	}
	return all
}

// hold records that a tree refers to the extent.
func (e *extent) hold(t *Tier) {
	if slices.Contains(e.holders, t) {
		return
	}
	if e.holders = append(e.holders, t); len(e.holders) == 1 {
		t.bytes.Add(e.bytes())
	}
}

// release records that a tree does not refer to the extent any more. Without any it is freed.
func (e *extent) release(t *Tier) {
	if e.holders[0] == t {
		t.bytes.Add(-e.bytes())
		if len(e.holders) > 1 {
			e.holders[1].bytes.Add(e.bytes())
		}
	}
	e.holders = slices.DeleteFunc(e.holders, func(holder *Tier) bool { return holder == t })
	if len(e.holders) == 0 {
		e.close()
	}
}

// settle is called when a tree refers to fewer cells of the extent than before. It gives up memory
// that nobody needs: the extent, or some of its cells.
func (e *extent) settle(t *Tier) {
	if !slices.ContainsFunc(t.views, func(v view) bool { return v.extent == e }) {
		e.release(t)
	}
	if len(e.holders) == 0 {
		return
	}
	if used := e.used(); used != e.Run {
		e.shrink(used)
	}
}

// used returns the least run with all cells of the extent to which trees refer.
func (e *extent) used() tier.Run {
	from, to := e.End(), e.Start
	for _, t := range e.holders {
		for _, v := range t.views {
			if v.extent == e {
				from, to = min(from, v.Start), max(to, v.End())
			}
		}
	}
	return tier.Run{Start: from, N: to - from}
}

// shrink moves the rows of some of the extent's cells to a smaller one, to which all trees refer from
// then on. Without memory for that, everything stays as it is.
func (e *extent) shrink(cells tier.Run) {
	owner := e.holders[0]
	small, err := owner.grow(context.Background(), cells)
	if err != nil {
		return
	}
	holders := slices.Clone(e.holders)
	for _, t := range holders { // rows may be on their way to any of them
		t.mu.Lock()
	}
	small.extent.copyFrom(e, cells, owner.layouts)
	for _, t := range holders {
		for i := range t.views {
			if t.views[i].extent == e {
				t.views[i].extent = small.extent
			}
		}
		small.extent.hold(t)
	}
	for _, t := range holders {
		t.mu.Unlock()
	}
	for _, t := range holders {
		e.release(t)
	}
}
