"""Writes a large plan as MS Project would: `python3 infra/cli/examples/large.py TASKS LINKS > plan.xml`. The same arguments make the same file."""

import itertools
import sys

tasks, links = int(sys.argv[1]), int(sys.argv[2])
# A hundred tasks beneath each summary. Links go to the next task until there are none left, then to the one behind it, and so on.
outline = [f"{n // 101 + 1}" if n % 101 == 0 else f"{n // 101 + 1}.{n % 101}" for n in range(tasks)]
linked = ((n - step, n) for step in range(1, tasks) for n in range(step, tasks) if n % 101 and (n - step) % 101)
before = [[] for _ in range(tasks)]
for predecessor, successor in itertools.islice(linked, links):
    before[successor].append(predecessor)
print('<?xml version="1.0" encoding="UTF-8" standalone="yes"?>')
print('<Project xmlns="http://schemas.microsoft.com/project"><SaveVersion>14</SaveVersion><Title>Large</Title>')
print("<StartDate>2026-03-02T08:00:00</StartDate><CalendarUID>1</CalendarUID><MinutesPerDay>480</MinutesPerDay>")
print("<Calendars><Calendar><UID>1</UID><Name>Standard</Name><IsBaseCalendar>1</IsBaseCalendar></Calendar></Calendars><Tasks>")
for n in range(tasks):
    waits = "".join(
        f"<PredecessorLink><PredecessorUID>{other + 1}</PredecessorUID><Type>1</Type><LinkLag>{4800 * (n % 3)}</LinkLag>"
        "<LagFormat>7</LagFormat></PredecessorLink>"
        for other in before[n]
    )
    print(
        f"<Task><UID>{n + 1}</UID><ID>{n + 1}</ID><Name>Task {n + 1}</Name><WBS>{outline[n]}</WBS><OutlineNumber>{outline[n]}</OutlineNumber>"
        f"<OutlineLevel>{outline[n].count('.') + 1}</OutlineLevel><Duration>PT{8 * (1 + n % 9)}H0M0S</Duration>"
        f"<DurationFormat>7</DurationFormat><Summary>{int(n % 101 == 0)}</Summary><PercentComplete>0</PercentComplete>"
        f"<Notes>As agreed with the site manager; see the drawing.</Notes>{waits}</Task>"
    )
print("</Tasks></Project>")
