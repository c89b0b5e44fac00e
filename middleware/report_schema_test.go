package middleware_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
)

// The schema in docs is that of what a Report becomes: it knows each key, and what it requires is
// there in the zero Report, too.
func TestReportHasItsSchema(t *testing.T) {
	text, err := os.ReadFile("../docs/report.schema.json")
	require.NoError(t, err)
	var schema node
	require.NoError(t, json.Unmarshal(text, &schema))
	for _, r := range []middleware.Report{{Phase: middleware.Serving}, golden} {
		text, err := json.Marshal(r)
		require.NoError(t, err)
		var value any
		require.NoError(t, json.Unmarshal(text, &value))
		assert.Empty(t, schema.faults(schema, value, "report"))
	}
	var bad any
	require.NoError(t, json.Unmarshal([]byte(`{"Phase": "gone", "Took": "1s", "New": 1}`), &bad))
	assert.Contains(t, fmt.Sprint(schema.faults(schema, bad, "report")), "report.New: unknown")
}

// A node is a JSON Schema, as far as docs/report.schema.json needs one.
type node struct {
	Ref                  string          `json:"$ref"`
	Defs                 map[string]node `json:"$defs"`
	Type                 string
	Enum                 []string
	Required             []string
	Properties           map[string]node
	Items                *node
	PropertyNames        *node
	AdditionalProperties *node
}

// faults returns what is wrong with value. Unlike the schema for others, it knows all keys.
func (n node) faults(root node, value any, at string) (faults []string) {
	if n.Ref != "" {
		n = root.Defs[strings.TrimPrefix(n.Ref, "#/$defs/")]
	}
	kind := map[string]string{"string": "string", "float64": "integer", "bool": "boolean", "[]interface {}": "array", "map[string]interface {}": "object"}[fmt.Sprintf("%T", value)]
	if n.Type != "" && n.Type != kind || n.Enum != nil && !slices.Contains(n.Enum, fmt.Sprint(value)) {
		return []string{fmt.Sprintf("%s: is %v", at, value)}
	}
	switch value := value.(type) {
	case []any:
		for i, v := range value {
			faults = append(faults, n.Items.faults(root, v, fmt.Sprint(at, "[", i, "]"))...)
		}
	case map[string]any:
		for _, name := range n.Required {
			if _, ok := value[name]; !ok {
				faults = append(faults, at+"."+name+": missing")
			}
		}
		for name, v := range value {
			if n.PropertyNames != nil {
				faults = append(faults, n.PropertyNames.faults(root, name, at)...)
			}
			switch sub, known := n.Properties[name]; {
			case known:
				faults = append(faults, sub.faults(root, v, at+"."+name)...)
			case n.AdditionalProperties != nil:
				faults = append(faults, n.AdditionalProperties.faults(root, v, at+"."+name)...)
			case n.Properties != nil:
				faults = append(faults, at+"."+name+": unknown")
			}
		}
	}
	return faults
}
