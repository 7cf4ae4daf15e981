package grammar

import (
	"errors"
	"fmt"
)

// check refuses grammars that cannot be read from left to right: those with a rule that begins with
// itself and has more elements behind that, and those whose root matches no finite text.
func (p *program) check() error {
	if ends := p.solve(func(e element) bool { return e.op != opCall }); !ends[p.root] {
		return errors.New("no text follows the grammar: rule root calls rules without end")
	}
	empty := p.solve(func(element) bool { return false })
	if rule := p.leftRecursive(empty); rule >= 0 {
		return fmt.Errorf("rule %s begins with itself (left recursion): write repetitions with * or +, or put what comes before first", p.names[rule])
	}
	return nil
}

// solve returns the rules that have an alternative all of whose elements hold. An element holds if
// holds says so, or if it calls a rule that was found.
func (p *program) solve(holds func(element) bool) []bool {
	type alternative struct {
		rule int32
		open int // calls of rules that do not hold yet
	}
	var (
		alternatives []alternative
		waiting      = make([][]int32, len(p.rules)) // alternatives that call a rule
		solved       = make([]bool, len(p.rules))
		todo         []int32
	)
	found := func(rule int32) {
		if !solved[rule] {
			solved[rule] = true
			todo = append(todo, rule)
		}
	}
	for rule, starts := range p.rules {
		for _, at := range starts {
			a, id, never := alternative{rule: int32(rule)}, int32(len(alternatives)), false
			for ; p.elements[at].op != opEnd; at++ {
				if e := p.elements[at]; e.op == opCall {
					a.open++
					waiting[e.arg] = append(waiting[e.arg], id)
				} else if !holds(e) {
					never = true
				}
			}
			if never {
				a.open = -1 // never comes to 0
			}
			alternatives = append(alternatives, a)
			if a.open == 0 {
				found(a.rule)
			}
		}
	}
	for len(todo) > 0 {
		rule := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, id := range waiting[rule] {
			a := &alternatives[id]
			if a.open--; a.open == 0 {
				found(a.rule)
			}
		}
	}
	return solved
}

// leftRecursive returns a rule that may call itself before it has read anything, and must go on
// after that; -1 if there is none. A call that is the last of its rule does no harm: nothing has to
// be remembered of it. Rules that call each other so are a strongly connected part of the graph of
// such calls (Tarjan 1972, without recursion, which a hostile grammar would make deep).
func (p *program) leftRecursive(empty []bool) int32 {
	type visit struct {
		rule  int32
		calls []leftCall
	}
	var (
		number = make([]int32, len(p.rules)) // 0: not visited
		low    = make([]int32, len(p.rules))
		onOpen = make([]bool, len(p.rules))
		open   []int32 // visited, and their part not complete
		path   []visit
		count  int32
	)
	enter := func(rule int32) {
		count++
		number[rule], low[rule], onOpen[rule] = count, count, true
		open = append(open, rule)
		path = append(path, visit{rule, p.leftCalls(rule, empty)})
	}
	for start := range p.rules {
		if number[start] == 0 {
			enter(int32(start))
		}
		for len(path) > 0 {
			v := &path[len(path)-1]
			if len(v.calls) > 0 {
				called := v.calls[0].rule
				v.calls = v.calls[1:]
				switch {
				case number[called] == 0:
					enter(called)
				case onOpen[called]:
					low[v.rule] = min(low[v.rule], number[called])
				}
				continue
			}
			rule := v.rule
			path = path[:len(path)-1]
			if len(path) > 0 {
				caller := path[len(path)-1].rule
				low[caller] = min(low[caller], low[rule])
			}
			if low[rule] != number[rule] {
				continue
			}
			first := len(open) - 1
			for open[first] != rule {
				first--
			}
			part := open[first:]
			open = open[:first]
			if found := p.callsInside(part, empty); found >= 0 {
				return found
			}
			for _, r := range part {
				onOpen[r] = false
			}
		}
	}
	return -1
}

// callsInside returns a rule of a part that calls another rule of it and has more elements behind
// the call, -1 if there is none.
func (p *program) callsInside(part []int32, empty []bool) int32 {
	in := make(map[int32]bool, len(part))
	for _, r := range part {
		in[r] = true
	}
	for _, r := range part {
		for _, call := range p.leftCalls(r, empty) {
			if in[call.rule] && !call.last {
				return r
			}
		}
	}
	return -1
}

// leftCall is a call that a rule makes before it has read anything.
type leftCall struct {
	rule int32
	last bool // nothing follows in the rule
}

func (p *program) leftCalls(rule int32, empty []bool) (calls []leftCall) {
	for _, at := range p.rules[rule] {
		for ; p.elements[at].op == opCall; at++ {
			called := p.elements[at].arg
			calls = append(calls, leftCall{called, p.elements[at+1].op == opEnd})
			if !empty[called] {
				break
			}
		}
	}
	return calls
}
