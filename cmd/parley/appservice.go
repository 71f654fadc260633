package main

import (
	"fmt"
	"text/tabwriter"

	"parley/internal/appservice"
)

const appserviceUsage = `usage: parley appservice check [settings]

Reads the registrations of application services, those that the settings name,
and says which there are, or all that is wrong with them. Nothing is changed, and
a server that runs does not notice: it reads them when it is sent SIGHUP.
`

// appservice does what one of the commands for application services says.
func (p *program) appservice(args []string) error {
	if len(args) == 0 {
		return p.print(appserviceUsage)
	}
	if args[0] != "check" {
		return fmt.Errorf("there is no command \"appservice %s\", see parley help appservice", args[0])
	}
	settings, ok, err := p.settings(args[1:], appserviceUsage)
	if !ok {
		return err
	}
	set, err := appservice.Load(settings.AppServices.Dir, settings.AppServices.Files.List(), settings.ServerName)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, service := range set.All() {
		url := service.URL
		if url == "" {
			url = "is not told anything"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", service.ID, service.Sender, url)
	}
	return table.Flush()
}
