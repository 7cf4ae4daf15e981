package ggml

import "sync"

// KeepPlan has a CPU keep how it computes g: by how many threads each operation, and with how much
// memory of its own. Otherwise [Backend.Compute] finds that out each time, which takes about a hundredth
// of the time in which a small model decodes.
//
// A plan has memory for its graph alone, and in no account, as much as ggml's operations need to work
// in. So it is for graphs of few tokens. Other devices ignore it.
func (g *Graph) KeepPlan() {
	g.checkOpen("KeepPlan")
	g.keepsPlan = true
}

// plans are the kept plans of a backend.
type plans struct {
	mu   sync.Mutex
	open map[*Graph]uintptr
}

// planOf returns the plan of a graph, 0 if none is to be kept. It is made at the first computation, and
// again when other threads compute than those for which it was made.
func (b *Backend) planOf(g *Graph) uintptr {
	if !g.keepsPlan || b.pool == nil {
		return 0
	}
	if g.plan != 0 && g.plannedFor == b.pool.starts {
		return g.plan
	}
	g.freePlan()
	g.plan, g.plannedFor = c.PlanCreate(b.ptr, g.ptr), b.pool.starts
	b.plans.mu.Lock()
	defer b.plans.mu.Unlock()
	if b.plans.open == nil {
		b.plans.open = map[*Graph]uintptr{}
	}
	if g.plan == 0 {
		return 0
	}
	b.plans.open[g] = g.plan
	b.planned.Add(1)
	return g.plan
}

// freePlan frees the plan of a graph, unless closing the backend has freed it.
func (g *Graph) freePlan() {
	if g.plan == 0 {
		return
	}
	b := g.backend
	b.plans.mu.Lock()
	defer b.plans.mu.Unlock()
	if plan := b.plans.open[g]; plan != 0 {
		c.PlanFree(b.ptr, plan)
		delete(b.plans.open, g)
	}
	g.plan = 0
}

// freeAll frees all plans of a backend that is about to be closed.
func (p *plans) freeAll(backend uintptr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, plan := range p.open {
		c.PlanFree(backend, plan)
	}
	p.open = nil
}
