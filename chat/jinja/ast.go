package jinja

// expr is an expression. The types below are all there are.
type expr any

type (
	constExpr struct{ value Value }
	nameExpr  struct{ name string }
	listExpr  struct{ items []expr }
	tupleExpr struct{ items []expr }
	dictExpr  struct{ keys, values []expr }
	attrExpr  struct {
		object expr
		name   string
	}
	itemExpr struct {
		object, key expr
		constant    bool // it is made of literals alone
	}
	sliceExpr struct{ start, stop, step expr } // as a key; a nil bound is none
	unaryExpr struct {
		sign string // "-" or "+"
		x    expr
	}
	binaryExpr struct {
		sign string
		x, y expr
	}
	concatExpr struct{ items []expr }
	notExpr    struct{ x expr }
	logicExpr  struct {
		and  bool
		x, y expr
	}
	compareExpr struct {
		first expr
		rest  []comparison
	}
	comparison struct {
		sign string // as in the source, "in" or "not in"
		y    expr
	}
	condExpr struct{ then, test, other expr } // other may be nil
	callExpr struct {
		function expr
		args     arguments
	}
	filterExpr struct {
		x    expr // nil stands for the text of a block
		name string
		args arguments
		line int
	}
	testExpr struct {
		x    expr
		name string
		args arguments
		line int
	}
)

// arguments are those of a call, filter or test.
type arguments struct {
	values    []expr
	keywords  []keyword
	dynamic   expr // *args, or nil
	dynamicKW expr // **kwargs, or nil
}

type keyword struct {
	name  string
	value expr
}

// node is a statement. The types below are all there are.
type node any

type (
	textNode  struct{ text string }
	printNode struct {
		values []expr
		line   int
	}
	ifNode struct {
		branches []branch
		other    []node
		line     int
	}
	branch struct {
		test expr
		body []node
	}
	forNode struct {
		target    expr
		iter      expr
		test      expr // nil if there is none
		recursive bool
		body      []node
		other     []node
		hasOther  bool
		line      int
	}
	setNode struct {
		target expr
		value  expr
		line   int
	}
	setBlockNode struct {
		target expr
		filter expr // nil if there is none
		body   []node
		line   int
	}
	withNode struct {
		targets, values []expr
		body            []node
		line            int
	}
	macroNode struct {
		name string
		macroBody
	}
	// macroBody is what a macro and a call block have in common.
	macroBody struct {
		params   []string
		defaults []expr // of the last params
		body     []node
		caller   bool // the body reads it
		kwargs   bool
		varargs  bool
		line     int
	}
	callNode struct {
		call *callExpr
		macroBody
	}
	filterNode struct {
		filter expr
		body   []node
		line   int
	}
	scopeNode struct { // a scope without variables of its own at first
		body  []node
		block bool // it sees the variables of the template alone
		line  int
	}
	breakNode    struct{}
	continueNode struct{}

	nsExpr struct{ name, attr string } // a target: an attribute of a namespace
)
