package watershed;

import io.delta.storage.HadoopFileSystemLogStore;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.Iterator;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FSDataOutputStreamBuilder;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.s3a.RemoteFileChangedException;

/**
 * Commits of Delta tables in an object store, each one PUT with If-None-Match: the store itself lets one of two
 * writers of the same version in, whoever they are, and tells the other. delta-rs commits in the same way.
 */
public class ConditionalLogStore extends HadoopFileSystemLogStore {
    public ConditionalLogStore(Configuration configuration) {
        super(configuration);
    }

    public void write(Path path, Iterator<String> actions, Boolean overwrite, Configuration configuration)
            throws IOException {
        FileSystem store = path.getFileSystem(configuration);
        byte[] commit = bytes(actions);
        if (overwrite.booleanValue()) {
            put(store.create(path, true), commit);
            return;
        }
        if (store.exists(path)) {
            throw new FileAlreadyExistsException(path.toString());
        }
        FSDataOutputStreamBuilder builder = store.createFile(path);
        builder.must("fs.option.create.conditional.overwrite", true);
        try {
            put((FSDataOutputStream) builder.build(), commit);
        } catch (RemoteFileChangedException taken) {
            // A PUT whose answer was lost is sent again, and then finds itself there. No two commits are alike.
            if (!Arrays.equals(commit, stored(store, path))) {
                throw new FileAlreadyExistsException(path.toString());
            }
        }
    }

    public Boolean isPartialWriteVisible(Path path, Configuration configuration) {
        return Boolean.FALSE;
    }

    /** All of a commit before anything is sent: a stream that is closed halfway would store the half. */
    private static byte[] bytes(Iterator<String> actions) throws IOException {
        ByteArrayOutputStream buffer = new ByteArrayOutputStream();
        while (actions.hasNext()) {
            String action = (String) actions.next();
            buffer.write((action + "\n").getBytes(StandardCharsets.UTF_8));
        }
        return buffer.toByteArray();
    }

    private static void put(FSDataOutputStream stream, byte[] commit) throws IOException {
        stream.write(commit);
        stream.close();
    }

    private static byte[] stored(FileSystem store, Path path) throws IOException {
        InputStream stream = store.open(path);
        try {
            return stream.readAllBytes();
        } finally {
            stream.close();
        }
    }
}
