// SQLite's C API, as much of it as the registry needs: connections, prepared statements and transactions that
// clean up after themselves. No SQL is built from values: they are bound.
//
//   sqlite::Statement find(connection, "SELECT body FROM object WHERE kind = ? AND name = ?");
//   auto rows = find.with(kind, name);           // resets and binds; prepared at the first use
//   while (rows.next()) use(rows.text(0));       // views live until the next next()
//   if (rows.failed()) return connection.failure();
//
// Thread: a connection, and what belongs to it, one thread at a time.
#pragma once

#include <sqlite3.h>

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::routing::sqlite {

// What went wrong last.
struct Failure {
  int code = SQLITE_OK;  // extended result code
  int system_error = 0;  // errno, where the system was asked
  std::string message;   // SQLite's words
};

class Connection {
 public:
  Connection() = default;
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // A `uri` as of https://sqlite.org/uri.html; `flags` are SQLITE_OPEN_*. False: see failure().
  bool open(const std::string& uri, int flags, const std::string& vfs);

  // Statements without values or results.
  bool execute(const char* sql);
  bool execute(const std::string& sql) { return execute(sql.c_str()); }
  // The first column of the first row.
  std::optional<int64_t> integer(const char* sql);
  std::optional<std::string> text(const char* sql);

  bool in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }
  const Failure& failure() const { return failure_; }
  // Keeps what went wrong just now. Always false.
  bool fail();

  sqlite3* handle() const { return handle_; }

 private:
  sqlite3* handle_ = nullptr;
  Failure failure_;
};

struct Blob {
  std::string_view bytes;
};

// One execution of a statement. Ends with it: an open one would hold a read transaction.
class Rows {
 public:
  Rows(Connection& connection, sqlite3_stmt* statement);
  ~Rows();
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;

  bool next();  // false: there are no more rows, or failed()
  bool failed() const { return failed_; }
  // For statements without rows: false = failed.
  bool run();

  // Columns from 0, of the row that next() found.
  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  uint64_t number(int column) const { return static_cast<uint64_t>(integer(column)); }
  std::string_view text(int column) const;  // or the bytes of a blob
  bool is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

 private:
  Connection& connection_;
  sqlite3_stmt* statement_;  // null: it could not be prepared
  bool failed_;
};

class Statement {
 public:
  // `sql` is static.
  Statement(Connection& connection, const char* sql) : connection_(connection), sql_(sql) {}
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Texts and blobs must live as long as the rows. One execution at a time.
  template <typename... Values>
  Rows with(const Values&... values) {
    bool ready = prepare();
    int at = 0;
    ((ready = ready && bind(++at, values)), ...);
    return Rows(connection_, ready ? statement_ : nullptr);
  }

 private:
  bool prepare();
  bool bound(int result) { return result == SQLITE_OK || connection_.fail(); }
  template <std::integral Integer>
  bool bind(int at, Integer value) {
    return bound(sqlite3_bind_int64(statement_, at, static_cast<sqlite3_int64>(value)));
  }
  bool bind(int at, std::string_view text);
  bool bind(int at, const std::string& text) { return bind(at, std::string_view(text)); }
  bool bind(int at, Blob blob);
  bool bind(int at, std::nullopt_t) { return bound(sqlite3_bind_null(statement_, at)); }
  template <typename Value>
  bool bind(int at, const std::optional<Value>& value) {
    return value ? bind(at, *value) : bind(at, std::nullopt);
  }

  Connection& connection_;
  const char* sql_;
  sqlite3_stmt* statement_ = nullptr;
};

// All or nothing: what is not committed is rolled back.
class Transaction {
 public:
  enum class Kind : uint8_t { read, write };

  // A read within another transaction is part of that.
  Transaction(Connection& connection, Kind kind);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  bool begun() const { return begun_; }  // false: see failure()
  bool commit();

 private:
  Connection& connection_;
  bool begun_ = false;
  bool nested_ = false;
};

}  // namespace weir::routing::sqlite
