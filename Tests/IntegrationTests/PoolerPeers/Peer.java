import java.io.*;
import java.sql.*;
import java.util.*;
import org.postgresql.*;
import org.postgresql.largeobject.*;

/** What JDBC's driver does by itself and on request, on fewer server connections than clients. */
class Peer {
    static void check(boolean holds, String what) { if (!holds) throw new AssertionError(what); }

    static long number(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getLong(1);
        }
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/shop?user=postgres&prepareThreshold=1&ApplicationName=jdbc&sslmode=disable";
        List<Connection> connections = new ArrayList<>();
        for (int number = 0; number < 4; number++) connections.add(DriverManager.getConnection(url + (number == 3 ? "&reWriteBatchedInserts=true" : "")));
        Connection first = connections.get(0), second = connections.get(1), third = connections.get(2), fourth = connections.get(3);

        // Named statements at the server from the first use; in binary from the second.
        List<PreparedStatement> prepared = new ArrayList<>();
        for (Connection connection : connections) prepared.add(connection.prepareStatement("SELECT ?::int + ?::int, ?::text"));
        for (int round = 0; round < 8; round++) {
            for (int number = 0; number < 4; number++) {
                PreparedStatement statement = prepared.get(number);
                statement.setInt(1, round);
                statement.setInt(2, number);
                statement.setString(3, "é" + round);
                try (ResultSet rows = statement.executeQuery()) {
                    check(rows.next() && rows.getInt(1) == round + number && rows.getString(2).equals("é" + round), "prepared");
                }
            }
        }

        try (Statement statement = first.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS jdbc; CREATE TABLE jdbc (id serial PRIMARY KEY, name text)");
        }
        try (PreparedStatement insert = first.prepareStatement("INSERT INTO jdbc (name) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
            for (int number = 0; number < 300; number++) { insert.setString(1, "row " + number); insert.addBatch(); }
            check(insert.executeBatch().length == 300, "batch");
            int keys = 0;
            try (ResultSet rows = insert.getGeneratedKeys()) { while (rows.next()) keys++; }
            check(keys == 300, "generated keys");
        }
        try (PreparedStatement insert = fourth.prepareStatement("INSERT INTO jdbc (name) VALUES (?)")) {
            for (int number = 0; number < 100; number++) { insert.setString(1, "rewritten"); insert.addBatch(); }
            insert.executeBatch();
        }

        // A transaction with a savepoint, and rows that come by portions from a cursor.
        second.setAutoCommit(false);
        second.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        try (Statement statement = second.createStatement()) {
            Savepoint savepoint = second.setSavepoint();
            try { statement.execute("SELECT 1 / 0"); check(false, "no error"); } catch (SQLException error) { check(error.getSQLState().equals("22012"), error.getSQLState()); }
            second.rollback(savepoint);
            statement.setFetchSize(7);
            int rows = 0;
            try (ResultSet result = statement.executeQuery("SELECT * FROM jdbc")) { while (result.next()) rows++; }
            check(rows == 400, "cursor: " + rows);
            LargeObjectManager objects = second.unwrap(PGConnection.class).getLargeObjectAPI();
            long object = objects.createLO();
            try (LargeObject opened = objects.open(object)) { opened.write(new byte[300_000]); opened.seek(0); check(opened.read(400_000).length == 300_000, "large object"); }
            objects.delete(object);
        }
        second.commit();
        second.setAutoCommit(true);

        var copy = third.unwrap(PGConnection.class).getCopyAPI();
        StringBuilder lines = new StringBuilder();
        for (int number = 0; number < 5000; number++) lines.append("copied\n");
        check(copy.copyIn("COPY jdbc (name) FROM STDIN", new StringReader(lines.toString())) == 5000, "copy in");
        StringWriter out = new StringWriter();
        check(copy.copyOut("COPY (SELECT name FROM jdbc WHERE name = 'copied') TO STDOUT", out) == 5000 && out.toString().equals(lines.toString()), "copy out");

        // A time limit is a request to cancel, from the driver's timer.
        try (Statement statement = third.createStatement()) {
            statement.setQueryTimeout(1);
            statement.execute("SELECT pg_sleep(60)");
            check(false, "not cancelled");
        } catch (SQLException error) { check(error.getSQLState().equals("57014"), error.getSQLState()); }
        check(third.isValid(10) && number(third, "SELECT 3") == 3, "after the cancelled one");

        // After a migration the driver prepares anew.
        for (Connection connection : connections) {
            connection.setAutoCommit(true);
            try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM jdbc WHERE id = 1"); ResultSet rows = statement.executeQuery()) { check(rows.next(), "before"); }
        }
        try (Statement statement = first.createStatement()) { statement.execute("ALTER TABLE jdbc ADD more int DEFAULT 7"); }
        for (Connection connection : connections) {
            try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM jdbc WHERE id = 1"); ResultSet rows = statement.executeQuery()) {
                check(rows.next() && rows.getMetaData().getColumnCount() == 3 && rows.getInt(3) == 7, "after a migration");
            }
        }

        // The session's own things stay its own.
        first.setSchema("pg_catalog");
        second.setReadOnly(true);
        second.setAutoCommit(false);
        try (Statement statement = second.createStatement()) {
            try { statement.execute("INSERT INTO jdbc (name) VALUES ('never')"); check(false, "wrote"); } catch (SQLException error) { check(error.getSQLState().equals("25006"), error.getSQLState()); }
        }
        second.rollback();
        check(first.getSchema().equals("pg_catalog") && third.getSchema().equals("public"), "search_path");
        first.setSchema("public");
        check(number(fourth, "SELECT count(*) FROM jdbc") == 5400, "all rows");
        try (ResultSet columns = fourth.getMetaData().getColumns(null, "public", "jdbc", null)) {
            List<String> names = new ArrayList<>();
            while (columns.next()) names.add(columns.getString("COLUMN_NAME"));
            System.out.println(names);
        }

        // In the simple protocol; and notifications.
        try (Connection simple = DriverManager.getConnection(url + "&preferQueryMode=simple"); Statement statement = simple.createStatement()) {
            statement.execute("LISTEN jdbc");
            try (Statement other = first.createStatement()) { other.execute("NOTIFY jdbc, 'hello'"); }
            PGNotification[] heard = simple.unwrap(PGConnection.class).getNotifications(10_000);
            System.out.println(heard == null || heard.length == 0 ? "nothing" : heard[0].getParameter());
        }
        for (Connection connection : connections) connection.close();
    }
}
