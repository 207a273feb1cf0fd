// decK's engine (go-database-reconciler, which `deck gateway sync` and `deck gateway diff` call) without the rest of the
// command: what that needs beside cannot be had from the module proxy everywhere. Built and run by bench/deck.py.
//
//	engine sync|diff URL FILE
//
// Prints created, updated and deleted; "diff" writes nothing.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/blang/semver/v4"
	"github.com/kong/go-database-reconciler/pkg/diff"
	"github.com/kong/go-database-reconciler/pkg/dump"
	"github.com/kong/go-database-reconciler/pkg/file"
	"github.com/kong/go-database-reconciler/pkg/schema"
	"github.com/kong/go-database-reconciler/pkg/state"
	"github.com/kong/go-database-reconciler/pkg/utils"
)

const parallelism = 10 // decK's own default

func main() {
	if err := run(context.Background(), os.Args[1] == "diff", os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dry bool, url, name string) error {
	content, err := file.GetContentFromFiles([]string{name}, false)
	if err != nil {
		return err
	}
	client, err := utils.GetKongClient(utils.KongClientConfig{Address: url, Timeout: 10})
	if err != nil {
		return err
	}
	registry := schema.NewRegistry(client, false)
	config := dump.Config{SelectorTags: content.Info.SelectorTags, SchemaRegistry: registry}
	held, err := dump.Get(ctx, client, config)
	if err != nil {
		return err
	}
	current, err := state.Get(held)
	if err != nil {
		return err
	}
	render := file.RenderConfig{CurrentState: current, KongVersion: semver.MustParse("3.9.1")}
	wanted, err := file.Get(ctx, content, render, config, client)
	if err != nil {
		return err
	}
	target, err := state.Get(wanted)
	if err != nil {
		return err
	}
	options := diff.SyncerOpts{CurrentState: current, TargetState: target, KongClient: client, SchemaRegistry: registry}
	syncer, err := diff.NewSyncer(options)
	if err != nil {
		return err
	}
	stats, errs, _ := syncer.Solve(ctx, parallelism, dry, false)
	if errs != nil {
		return utils.ErrArray{Errors: errs}
	}
	fmt.Println(stats.CreateOps.Count(), stats.UpdateOps.Count(), stats.DeleteOps.Count())
	return nil
}
