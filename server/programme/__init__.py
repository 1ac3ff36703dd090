"""What goes on between alerts: reminders by plan, and the figures of the programme."""
