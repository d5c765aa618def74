import { useEffect, useState } from 'react'
import { Button, FlatList, Text, TextInput, View } from 'react-native'
import { Q } from '@nozbe/watermelondb'
import { useSyncStatus } from '@trueppm/sync/react'
import { isComplete, lineFor } from './labels'
import type { Task } from './models'
import { Questions } from './Questions'
import { database, PROJECT, sync } from './store'
import { addTask, removeTask, rename, setProgress } from './tasks'

/** The project's tasks, again after each change. */
function useTasks(project: string): Task[] {
  // The same records come again when a column changes: a new array each time, so that React draws them.
  const [tasks, setTasks] = useState<Task[]>([])
  useEffect(() => {
    const query = database.get<Task>('tasks').query(Q.where('project', project), Q.sortBy('wbs_path'))
    const subscription = query.observeWithColumns(['name', 'percent_complete']).subscribe((rows) => setTasks([...rows]))
    return () => subscription.unsubscribe()
  }, [project])
  return tasks
}

export default function App() {
  useEffect(() => {
    sync.start()
    return () => void sync.stop()
  }, [])
  const status = useSyncStatus(sync)
  const tasks = useTasks(PROJECT)
  const project = status.projects[PROJECT]
  const progress = project?.progress
  return (
    <View>
      <Text>{lineFor(status)}</Text>
      {progress && <Text>{progress.rows} of {progress.total ?? 'many'} rows</Text>}
      <Questions sync={sync} />
      {project && isComplete(project) && (
        <>
          <FlatList
            data={tasks}
            keyExtractor={({ id }) => id}
            renderItem={({ item }) => (
              <>
                <TextInput key={item.name} defaultValue={item.name} onEndEditing={({ nativeEvent }) => rename(item, nativeEvent.text)} />
                <Text>{item.percentComplete} %</Text>
                <Button title="+ 10 %" onPress={() => setProgress(item, Math.min(100, item.percentComplete + 10))} />
                <Button title="200 %" onPress={() => setProgress(item, 200)} />
                <Button title="Delete" onPress={() => removeTask(item)} />
              </>
            )}
          />
          <Button title="Add a task" onPress={() => addTask(database, PROJECT, 'A new task')} />
        </>
      )}
    </View>
  )
}
