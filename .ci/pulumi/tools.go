//go:build tools

// Package tools names the command that .ci/build-pulumi builds, so that go.mod says in which version.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
