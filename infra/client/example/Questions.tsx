import { Button, Text, View } from 'react-native'
import type { Sync } from '@trueppm/sync'
import { useAside, useConflicts, useRejected } from '@trueppm/sync/react'

/** What the user has to decide: conflicts, refused edits, and edits of rows that are gone. */
export function Questions({ sync }: { sync: Sync }) {
  const [conflicts, rejected, aside] = [useConflicts(sync), useRejected(sync), useAside(sync)]
  return (
    <View>
      {conflicts.map((conflict) => (
        <View key={`${conflict.table}/${conflict.id}/${conflict.field}`}>
          <Text>
            {conflict.field === null
              ? 'You deleted something that somebody else changed.'
              : `${conflict.field}: you wrote ${conflict.mine}, somebody else wrote ${conflict.theirs}.`}
          </Text>
          <Button title="Keep mine" onPress={() => sync.resolve(conflict, 'mine')} />
          <Button title="Take theirs" onPress={() => sync.resolve(conflict, 'theirs')} />
        </View>
      ))}
      {rejected.map((edit) => (
        <View key={`${edit.table}/${edit.id}`}>
          <Text>Not accepted: {edit.problem.errors?.[0]?.message ?? edit.problem.detail} Change it, or:</Text>
          <Button title="Discard my edit" onPress={() => sync.discard(edit)} />
        </View>
      ))}
      {aside.map((edit) => (
        <View key={edit.key}>
          <Text>{edit.row.name} is gone. You had changed {Object.keys(edit.values).join(', ')}.</Text>
          <Button title="Add it again" onPress={() => sync.restoreAside(edit)} />
          <Button title="Drop my edits" onPress={() => sync.dropAside(edit)} />
        </View>
      ))}
    </View>
  )
}
