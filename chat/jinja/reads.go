package jinja

import "fmt"

// reads reports whether the nodes read a variable of that name that they do not assign first. Jinja
// decides by it what it hands to a macro, so it must be found as Jinja finds it: in the order of
// the source.
func reads(nodes []node, name string) bool {
	v := visitor{name: name}
	v.nodes(nodes)
	return v.found
}

type visitor struct {
	name     string
	any      bool // any name will do
	assigned bool
	found    bool
	stored   bool // by set or for
}

// stores reports whether a node assigns to the variable.
func (v *visitor) stores(n node) bool {
	v.node(n)
	return v.stored
}

func (v *visitor) nodes(nodes []node) {
	for _, n := range nodes {
		v.node(n)
	}
}

func (v *visitor) node(n node) {
	switch n := n.(type) {
	case *textNode, *breakNode, *continueNode:
	case *printNode:
		v.exprs(n.values...)
	case *ifNode:
		for _, b := range n.branches {
			v.expr(b.test)
			v.nodes(b.body)
		}
		v.nodes(n.other)
	case *forNode:
		v.store(n.target)
		v.expr(n.iter)
		v.nodes(n.body)
		v.nodes(n.other)
		v.expr(n.test)
	case *setNode:
		v.store(n.target)
		v.expr(n.value)
	case *setBlockNode:
		v.store(n.target)
		v.expr(n.filter)
		v.nodes(n.body)
	case *withNode:
		for _, t := range n.targets {
			v.target(t)
		}
		v.exprs(n.values...)
		v.nodes(n.body)
	case *macroNode:
		v.macro(n.macroBody)
	case *callNode:
		v.expr(n.call)
		v.macro(n.macroBody)
	case *filterNode:
		v.nodes(n.body)
		v.expr(n.filter)
	case *scopeNode:
		if !n.block {
			v.nodes(n.body)
		}
	default:
		panic(fmt.Sprintf("a node of type %T", n))
	}
}

func (v *visitor) macro(m macroBody) {
	v.exprs(m.defaults...)
	for _, p := range m.params {
		v.assigned = v.assigned || p == v.name
	}
	v.nodes(m.body)
}

func (v *visitor) store(t expr) {
	before := v.assigned
	v.assigned = false
	v.target(t)
	v.stored = v.stored || v.assigned
	v.assigned = v.assigned || before
}

func (v *visitor) target(t expr) {
	switch t := t.(type) {
	case *nameExpr:
		v.assigned = v.assigned || t.name == v.name
	case *tupleExpr:
		for _, item := range t.items {
			v.target(item)
		}
	}
}

func (v *visitor) exprs(exprs ...expr) {
	for _, x := range exprs {
		v.expr(x)
	}
}

func (v *visitor) expr(x expr) {
	switch x := x.(type) {
	case nil, *constExpr, *nsExpr:
	case *nameExpr:
		v.found = v.found || v.any || x.name == v.name && !v.assigned
	case *listExpr:
		v.exprs(x.items...)
	case *tupleExpr:
		v.exprs(x.items...)
	case *dictExpr:
		v.exprs(x.keys...)
		v.exprs(x.values...)
	case *attrExpr:
		v.expr(x.object)
	case *itemExpr:
		if v.any { // it is known, and going through it again for each subscript would take long
			v.found = v.found || !x.constant
			return
		}
		v.exprs(x.object, x.key)
	case *sliceExpr:
		v.exprs(x.start, x.stop, x.step)
	case *unaryExpr:
		v.expr(x.x)
	case *binaryExpr:
		v.exprs(x.x, x.y)
	case *concatExpr:
		v.exprs(x.items...)
	case *notExpr:
		v.expr(x.x)
	case *logicExpr:
		v.exprs(x.x, x.y)
	case *compareExpr:
		v.expr(x.first)
		for _, c := range x.rest {
			v.expr(c.y)
		}
	case *condExpr:
		v.exprs(x.test, x.then, x.other)
	case *callExpr:
		v.expr(x.function)
		v.arguments(x.args)
	case *filterExpr:
		v.expr(x.x)
		v.arguments(x.args)
	case *testExpr:
		v.expr(x.x)
		v.arguments(x.args)
	default:
		panic(fmt.Sprintf("an expression of type %T", x))
	}
}

func (v *visitor) arguments(a arguments) {
	v.exprs(a.values...)
	for _, k := range a.keywords {
		v.expr(k.value)
	}
	v.exprs(a.dynamic, a.dynamicKW)
}
